from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from polyvigil.checks.duplicates import NEAR, Duplicates, find_duplicates, similarity
from polyvigil.data.packed_posts import PackedPosts, PostColumns
from polyvigil.text.normalise import model_text
from polyvigil.text.shingles import shingle_sets
from polyvigil.types import Post

LATIN = "abcdefghijklmnopqrstuvwxyzäéß"
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщыэюя"
HAN = "头痛药吃了之后很晕不舒服医生说停用这个副作用大便睡眠好差心跳快手麻木皮疹恶心呕吐"
KANA = "のでがはをにあたまいたくすり飲んだら眠気副作用しびれ"


def posts_of(texts: list[str]) -> list[Post]:
    return [Post(str(place), text) for place, text in enumerate(texts)]


def reference_set(text: str) -> frozenset[str]:
    """The definition, written again without numpy: runs of 5, or of 2 where most characters are Han, kana or Hangul."""
    text = text.lower()
    dense = sum("\u3040" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7af" for c in text)
    n = 2 if 2 * dense > len(text) else 5
    padded = " " + text
    return frozenset(padded[i : i + n] for i in range(len(padded) - n + 1)) or frozenset([text])


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def random_text(rng: random.Random) -> str:
    letters = rng.choice([LATIN, CYRILLIC, HAN, KANA])
    if letters in (HAN, KANA):
        return "".join(rng.choices(letters, k=rng.randint(1, 60)))
    return " ".join("".join(rng.choices(letters, k=rng.randint(1, 9))) for _ in range(rng.randint(1, 30)))


def edited(text: str, rng: random.Random, edits: int) -> str:
    characters = list(text)
    for _ in range(edits):
        place = rng.randrange(len(characters) + 1)
        match rng.randrange(3):
            case 0:
                characters.insert(place, rng.choice("xyz 用の"))
            case 1 if len(characters) > 1:
                del characters[min(place, len(characters) - 1)]
            case _:
                characters[min(place, len(characters) - 1)] = rng.choice("qжき")
    return model_text("".join(characters)) or "a"


def corpus(seed: int, size: int) -> list[str]:
    rng = random.Random(seed)
    texts = [model_text(random_text(rng)) for _ in range(size // 2)]
    return texts + [edited(rng.choice(texts), rng, rng.randint(0, 8)) for _ in range(size - len(texts))]


def test_shingle_sets_match_the_definition() -> None:
    texts = corpus(1, 120)
    sets, references = shingle_sets(texts), [reference_set(text) for text in texts]
    assert sets.sizes.tolist() == [len(reference) for reference in references]
    pairs = np.array(list(combinations(range(len(texts)), 2)))
    expected = [jaccard(references[i], references[j]) for i, j in pairs]
    np.testing.assert_allclose(similarity(texts, pairs), expected, atol=1e-12)


def test_recall_and_precision_against_brute_force() -> None:
    """At Jaccard >= 0.8: recall at least .95 over 10 sets (0.998 is what the bands promise), precision 1."""
    wanted = hit = 0
    for seed in range(10):
        texts = corpus(seed, 300)
        references = [reference_set(text) for text in texts]
        truth = {
            (i, j)
            for i, j in combinations(range(len(texts)), 2)
            if texts[i].lower() != texts[j].lower() and jaccard(references[i], references[j]) >= NEAR
        }
        result = find_duplicates(posts_of(texts))
        first = {(int(result.exact[i]), int(result.exact[j])) for i, j in truth}
        found = {(int(i), int(j)) for i, j in result.pairs}
        wanted, hit = wanted + len(first), hit + len(found & first)
        assert found <= truth
        for (i, j), value in zip(result.pairs, result.similarities, strict=True):
            assert value == pytest.approx(jaccard(references[i], references[j]))
    assert wanted > 200
    assert hit / wanted >= 0.95


def test_exact_means_the_same_normalised_text_in_lower_case() -> None:
    result = find_duplicates(posts_of(["It HURTS!!!!", "something else", "it hurts!!", "it hurts !!"]))
    assert result.exact.tolist() == [0, 1, 0, 3]
    assert result.near[2] == 0


def test_clusters_join_chains_and_exact_copies() -> None:
    base = "since I take these pills my hands are shaking and I cannot sleep at night any more"
    texts = ["unrelated words here", base, base + "!", base.upper(), base + "! ok"]
    result = find_duplicates(posts_of(texts))
    assert result.near.tolist() == [0, 1, 1, 1, 1]
    assert [1, 2] in result.pairs.tolist()
    assert 3 not in result.pairs  # a copy of 1, which stands for it


def test_the_answer_does_not_depend_on_batches_or_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = posts_of(corpus(5, 200))
    whole = find_duplicates(posts)
    monkeypatch.setattr("polyvigil.checks.duplicates._CHARACTERS_PER_CHUNK", 50)
    monkeypatch.setattr("polyvigil.checks.duplicates._TEXTS_PER_CHUNK", 3)
    assert same(whole, find_duplicates(posts))
    assert same(whole, find_duplicates(PackedPosts(PostColumns(posts))))
    reverse = find_duplicates(posts[::-1])
    assert {frozenset(pair) for pair in (len(posts) - 1 - reverse.pairs).tolist() if len(set(pair)) == 2} == {
        frozenset((int(whole_exact_last(posts, i)), int(whole_exact_last(posts, j)))) for i, j in whole.pairs
    }


def whole_exact_last(posts: list[Post], place: int) -> int:
    key = posts[place].text.lower()
    return max(i for i, post in enumerate(posts) if post.text.lower() == key)


def same(one: Duplicates, other: Duplicates) -> bool:
    return (
        np.array_equal(one.exact, other.exact)
        and np.array_equal(one.near, other.near)
        and np.array_equal(one.pairs, other.pairs)
        and np.array_equal(one.similarities, other.similarities)
    )


def test_a_huge_bucket_stays_small() -> None:
    """3,000 copies of one notice that differ in a number: one cluster, and not 4.5 million pairs."""
    notice = "Reminder from the pharmacy: your prescription is ready, please fetch it within five working days. No. "
    result = find_duplicates(posts_of([f"{notice}{number}" for number in range(3000)] + [notice] * 3000))
    assert set(result.near.tolist()) == {0}
    assert len(result.pairs) < 150_000


def test_random_posts_have_no_near_duplicates() -> None:
    rng = random.Random(3)
    texts = [random_text(rng) + " " + "".join(rng.choices(LATIN, k=30)) for _ in range(500)]
    assert len(find_duplicates(posts_of(texts)).pairs) == 0


def test_no_posts_and_one_post() -> None:
    assert find_duplicates([]).pairs.shape == (0, 2)
    assert find_duplicates(posts_of(["alone"])).near.tolist() == [0]


def test_very_short_posts_are_duplicates_only_when_equal() -> None:
    result = find_duplicates(posts_of(["ok", "OK", "no", "頭", "痛", "a b"]))
    assert result.near.tolist() == [0, 0, 2, 3, 4, 5]
