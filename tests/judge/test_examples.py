"""Examples of a judge: which posts are kept, which go along, against a brute-force search and in spite of leaks."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from functools import cache
from math import sqrt

import numpy as np
import pytest

from polyvigil.config.judge import ChatSpec
from polyvigil.data.fingerprint import post_hashes
from polyvigil.errors import RecipeError, SplitError
from polyvigil.judge.examples import Example, KeptExamples, group_hash, keep_examples, reading_of
from polyvigil.judge.masking import masked, shortened, without_tokens
from polyvigil.judge.nearest import NGRAMS, NearestExamples
from polyvigil.text.language import base_language
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import LabelledPost, Post


def _spec(**more: object) -> ChatSpec:
    return ChatSpec.model_validate({"base_url": "http://127.0.0.1:9/v1", "model": "m", "prompt": "2"} | more)


def _keep(items: list[LabelledPost], **more: object) -> KeptExamples:
    options = {name: more.pop(name) for name in ("dev", "dev_hashes") if name in more}
    return keep_examples(items, _spec(**more), normalisation=NORMALISATION, where="train.csv", **options)  # type: ignore[arg-type]


def _item(text: str, label: int, language: str = "en", group: str = "") -> LabelledPost:
    return LabelledPost(Post(text, text, language, group=group), label)


@pytest.fixture(scope="module")
def train(corpus: tuple[LabelledPost, ...]) -> list[LabelledPost]:
    return [item for item in corpus if item.post.split == "train"][::6]


@pytest.fixture(scope="module")
def test_posts(corpus: tuple[LabelledPost, ...]) -> list[Post]:
    return [item.post for item in corpus if item.post.split == "test"][::250]


def _brute_force(examples: tuple[Example, ...], post: Post, text: str, number: int) -> list[Example]:
    """The same choice by n-grams as strings, one pair of texts after another."""

    @cache
    def grams(masked_text: str) -> Counter[str]:
        words = [f" {word} " for word in without_tokens(masked_text).lower().split()]
        low, high = NGRAMS
        sizes = range(low, high + 1)
        return Counter(word[at : at + n] for word in words for n in sizes for at in range(len(word) - n + 1))

    @cache
    def length(masked_text: str) -> float:
        return sqrt(sum(count**2 for count in grams(masked_text).values()))

    def cosine(a: str, b: str) -> float:
        dot = sum(count * grams(b)[gram] for gram, count in grams(a).items() if gram in grams(b))
        return round(dot / (length(a) * length(b)), 9)

    scored = [
        (base_language(example.language) == base_language(post.language), cosine(text, example.post), -index)
        for index, example in enumerate(examples)
    ]
    sides = [
        sorted((key for key, example in zip(scored, examples, strict=True) if example.ade == label), reverse=True)
        for label in (1, 0)
    ]
    chosen = sorted(key for side in sides for key in side[: number // 2])
    return [examples[-index] for _, _, index in chosen]


def test_the_nearest_are_those_of_a_brute_force_search(train: list[LabelledPost], test_posts: list[Post]) -> None:
    examples = _keep(train, kept_examples=60).examples
    texts = [masked(post.text, most_characters=4000, normalisation=NORMALISATION) for post in test_posts]
    for number in (2, 6):
        nearest = NearestExamples(examples, _spec(examples=number)).of(test_posts, texts)
        for post, text, chosen in zip(test_posts, texts, nearest, strict=True):
            assert list(chosen) == _brute_force(examples, post, text, number)
            assert sum(example.ade for example in chosen) == len(chosen) / 2 == number / 2
    alone = [NearestExamples(examples, _spec()).of([p], [t])[0] for p, t in zip(test_posts, texts, strict=True)]
    assert alone == NearestExamples(examples, _spec()).of(test_posts, texts), "posts beside a post change nothing"


def test_the_own_language_comes_first() -> None:
    items = [
        _item("der Ausschlag von den Tabletten", 1, "de"),
        _item("schönes Wetter", 0, "de_cadec"),
        _item("the pills gave me a rash", 1),
        _item("the pills gave me nothing", 0),
        _item("la pilule", 0, "fr"),
    ]
    nearest = NearestExamples(_keep(items).examples, _spec(examples=2))
    for language, expected in (("de", {"de", "de_cadec"}), ("de_cadec", {"de", "de_cadec"}), ("en", {"en"})):
        post = Post("x", "the pills gave me a headache", language)
        assert {example.language for example in nearest.of([post], [post.text])[0]} == expected
    french = Post("x", "the pills gave me a headache", "fr")  # one has no positive: the nearest of all fills up
    assert [example.post for example in nearest.of([french], [french.text])[0]] == [
        "the pills gave me a rash",
        "la pilule",
    ]


def test_no_example_of_the_same_text_or_group_goes_along() -> None:
    rash = "The pills gave me a RASH http://a.b/c since 123456"
    items = [
        _item(rash, 1),
        _item("my thread about a rash from pills", 1, group="thread-1"),
        _item("a rash from those pills, translated", 1, group="post-9"),
        _item("pills again and a rash again", 1),
        *(_item(f"nothing of that kind, {word}", 0) for word in ("one", "two", "three", "four")),
    ]
    nearest = NearestExamples(_keep(items).examples, _spec(examples=8))

    def positives(text: str, **more: str) -> set[str]:
        post = Post("p", text, "en", **more)  # type: ignore[arg-type]
        sent = masked(text, most_characters=4000, normalisation=NORMALISATION)
        return {example.post[:12] for example in nearest.of([post], [sent])[0] if example.ade}

    every = positives("anything else")
    assert len(every) == 4
    for same in (
        rash,
        rash.lower(),
        "@anna the pills gave me a rash, since!!! https://other.example",
        rash.replace("1", "2"),
    ):
        assert every - positives(same) == {"The pills ga"}
    assert every - positives("anything", group="thread-1") == {"my thread ab"}
    assert every - positives("anything", group="thread-2") == set()
    post = Post("post-9", "anything", "en")  # the group of a translation is the id of its source
    assert "a rash from " not in {example.post[:12] for example in nearest.of([post], ["anything"])[0]}


def test_of_a_long_post_its_beginning_is_compared() -> None:
    long = "the pills gave me a rash " * 40
    items = [_item(long + "and so on", 1), _item("a rash", 1), _item("no", 0), _item("never", 0)]
    examples = _keep(items, example_characters=100).examples
    cut = next(example for example in examples if len(example.post) > 20)
    assert cut.post == (long[:98].rstrip() + " …")
    post = Post("x", long + "but not so", "en")
    chosen = NearestExamples(examples, _spec(example_characters=100)).of([post], [long + "but not so"])[0]
    assert {example.post for example in chosen if example.ade} == {"a rash"}
    for length in (99, 100, 101, 102):  # with a space just behind the end, too
        for text in ("x" * length, "x" * 99 + " " + "y" * (length - 100), "x" * 100 + " y"):
            kept = _keep([_item(text.strip(), 1), _item("no", 0)], example_characters=100).examples
            assert next(example.post for example in kept if example.ade) == shortened(text.strip(), most_characters=100)


def test_dev_posts_are_never_kept() -> None:
    items = [
        *(_item(f"{word} pills gave me a rash", 1) for word in ("those", "these", "my", "his", "no")),
        *(_item(f"{word} weather today", 0, group=f"g{word}") for word in ("fine", "bad", "cold", "warm")),
    ]
    dev = [Post("d1", "THESE pills gave me a rash", "en"), Post("d2", "what", "en", group="gbad")]
    dev += [Post("gcold", "translated by somebody", "en"), Post("d4", "@anna his pills: gave me, a rash", "en")]
    further = post_hashes([Post("d5", "my pills gave me a rash", "en")])
    kept = _keep(items, dev=dev, dev_hashes=further)
    assert {example.post.split()[0] for example in kept.examples} == {"those", "no", "fine", "warm"}
    assert kept.notes == ("train.csv: 5 texts are left out: dev posts, or of the text or group of one",)
    with pytest.raises(SplitError, match="5 of its 9 texts are those of dev posts") as caught:
        _keep(items, dev=[item.post for item in items[:5]])
    assert (caught.value.where, "--examples TRAIN.csv" in str(caught.value.hint)) == ("train.csv", True)


def test_a_text_is_kept_once_and_one_with_both_labels_not_at_all() -> None:
    items = [
        _item("a rash", 1, group="one"),
        _item("A rash", 1, group="two"),
        _item("both", 1),
        _item("both", 0),
        _item("fine", 0),
    ]
    kept = _keep(items)
    assert [(example.post, example.ade) for example in sorted(kept.examples, key=lambda e: -e.ade)] == [
        ("A rash", 1),
        ("fine", 0),
    ]
    assert kept.notes == ("train.csv: 1 texts are left out: labelled both ways",)
    rash = next(example for example in kept.examples if example.ade)
    assert rash.groups == tuple(sorted(map(group_hash, ("one", "two"))))


def test_few_are_kept_of_each_label_and_language_and_the_order_of_rows_does_not_count(
    train: list[LabelledPost],
) -> None:
    kept = _keep(train, kept_examples=60).examples
    assert len(kept) == 60
    assert sum(example.ade for example in kept) == 30
    negatives = Counter(example.language for example in kept if not example.ade)
    assert max(negatives.values()) - min(negatives.values()) <= 1
    shuffled = random.Random(3).sample(train, len(train))
    assert _keep(shuffled, kept_examples=60).examples == kept
    assert _keep(train, kept_examples=60, seed=7).examples != kept
    few = [item for item in train if item.label][:5] + [item for item in train if not item.label]
    assert Counter(example.ade for example in _keep(few, kept_examples=60).examples) == {1: 5, 0: 55}


def test_what_is_kept_is_masked_and_holds_no_name_of_a_group() -> None:
    items = [_item("mail anna@example.org, the pills gave me a rash", 1, group="anna_k"), _item("fine", 0)]
    for example in _keep(items).examples:
        assert "anna" not in example.model_dump_json()
    assert {example.post for example in _keep(items).examples} == {"mail [EMAIL], the pills gave me a rash", "fine"}


@pytest.mark.parametrize(("label", "noun"), [(0, "with an ADE"), (1, "without one")])
def test_both_labels_are_needed(label: int, noun: str) -> None:
    with pytest.raises(RecipeError, match=f"holds no labelled post {noun} that may go along"):
        _keep([_item("one", label), _item("two", label)])
    with pytest.raises(RecipeError, match="holds no labelled post with an ADE"):
        _keep([])


def test_pieces() -> None:
    assert (shortened("abc def", most_characters=7), shortened("abc def g", most_characters=7)) == (
        "abc def",
        "abc d …",
    )
    assert without_tokens("a [USER] b[URL]") == "a b"
    assert reading_of("[USER] 12 !!") == "[USER] 12 !!"
    nearest = NearestExamples(_keep([_item("a rash", 1), _item("!!", 0)]).examples, _spec())
    assert np.array_equal(np.sort(nearest.similarity(["a rash", ""])), [[0, 1], [0, 0]])
    empty = dataclasses.replace(_item("!!", 0), label=0)
    assert nearest.of([empty.post], ["!!"]) == [()], "without a negative no positive goes along"
