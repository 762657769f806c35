"""The sample corpus: exact sizes, nothing that gives the label away, and text in the script of its language."""

from __future__ import annotations

import random
import tomllib
import unicodedata
from collections import Counter, defaultdict
from importlib.resources import files

import pytest
import regex

from polyvigil.data.sample import SAMPLE_NOTE, sample_corpus
from polyvigil.types import LabelledPost

SIZES = {
    "en": (1600, 500, 600),
    "ja": (1200, 600, 600),
    "ru": (1000, 400, 500),
    "zh": (500, 250, 300),
    "de": (400, 300, 300),
    "fr": (350, 300, 300),
    "fa": (0, 0, 400),
    "de_cadec": (60, 20, 30),
    "fr_cadec": (60, 20, 30),
}
POSITIVES = {
    "en": (112, 35, 42),
    "ja": (36, 18, 18),
    "ru": (100, 40, 50),
    "zh": (50, 25, 30),
    "de": (24, 18, 18),
    "fr": (25, 21, 21),
    "fa": (0, 0, 32),
    "de_cadec": (36, 12, 18),
    "fr_cadec": (36, 12, 18),
}
TYPES = {
    "en": {"tweet"},
    "ja": {"tweet"},
    "fa": {"tweet"},
    "ru": {"tweet", "sentence", "review"},
    "zh": {"120ask"},
    "de": {"forum post"},
    "fr": {"forum post"},
    "de_cadec": {"drug_review"},
    "fr_cadec": {"drug_review"},
}
SCRIPTS = {
    "en": r"\p{Latin}",
    "de": r"\p{Latin}",
    "fr": r"\p{Latin}",
    "ja": r"[\p{Hiragana}\p{Katakana}]",
    "ru": r"\p{Cyrillic}",
    "zh": r"\p{Han}",
    "fa": r"\p{Arabic}",
}


@pytest.fixture(scope="module")
def corpus() -> tuple[LabelledPost, ...]:
    return sample_corpus()


def test_the_seed_decides_everything(corpus: tuple[LabelledPost, ...]) -> None:
    assert sample_corpus(seed=42) == corpus
    assert sample_corpus(seed=43) != corpus


def test_reading_it_leaves_the_global_generator_alone() -> None:
    state = random.getstate()
    sample_corpus()
    assert random.getstate() == state


def test_sizes_and_positives_are_exact(corpus: tuple[LabelledPost, ...]) -> None:
    sizes = Counter((row.post.language, row.post.split) for row in corpus)
    positives = Counter((row.post.language, row.post.split) for row in corpus if row.label)
    for language, of_splits in SIZES.items():
        for split, size, positive in zip(("train", "dev", "test"), of_splits, POSITIVES[language], strict=True):
            assert (sizes[language, split], positives[language, split]) == (size, positive)
    assert sum(sizes.values()) == sum(map(sum, SIZES.values()))
    assert {row.label for row in corpus} == {0, 1}


def test_types_follow_the_language(corpus: tuple[LabelledPost, ...]) -> None:
    types = defaultdict(set)
    for row in corpus:
        types[row.post.language].add(row.post.type)
    assert types == TYPES


@pytest.mark.parametrize("field", ["origin", "type"])
def test_only_the_text_predicts_the_label(corpus: tuple[LabelledPost, ...], field: str) -> None:
    posts = [row for row in corpus if not row.post.language.endswith("_cadec")]
    by_language: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in posts:
        by_language[row.post.language][getattr(row.post, field)].append(row.label)
    for values in by_language.values():
        labels = [label for part in values.values() for label in part]
        share = sum(labels) / len(labels)
        for part in values.values():  # within four standard errors of the share of the language
            assert abs(sum(part) / len(part) - share) <= 4 * (share * (1 - share) / len(part)) ** 0.5


def test_ids_are_unique_and_in_random_order(corpus: tuple[LabelledPost, ...]) -> None:
    ids = [row.post.id for row in corpus]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "en_00001"
    train = [row.label for row in corpus if row.post.language == "en" and row.post.split == "train"]
    first, second = sum(train[:800]), sum(train[800:])
    assert abs(first - second) < 45


def test_text_is_clean(corpus: tuple[LabelledPost, ...]) -> None:
    for row in corpus:
        text = row.post.text
        assert text == text.strip() != ""
        assert unicodedata.is_normalized("NFC", text)
        assert not {"{", "}", "|", "\n", "\ufffd"} & set(text)


def test_text_is_in_the_script_of_its_language(corpus: tuple[LabelledPost, ...]) -> None:
    for row in corpus:
        assert regex.search(SCRIPTS[row.post.language.removesuffix("_cadec")], row.post.text), row.post
    persian = [row.post.text for row in corpus if row.post.language == "fa"]
    assert sum("\u200c" in text for text in persian) > 100
    assert all(regex.search(r"[كيى]", text) is None for text in persian)  # Arabic letters that Persian does not use
    assert all(regex.search(r"\p{Cyrillic}|\p{Arabic}", r.post.text) is None for r in corpus if r.post.language == "ja")


def test_forum_posts_are_long(corpus: tuple[LabelledPost, ...]) -> None:
    lengths = [len(row.post.text) for row in corpus if row.post.type == "forum post"]
    assert min(lengths) >= 280
    assert max(lengths) <= 1000
    assert 500 < sum(lengths) / len(lengths) < 700


@pytest.mark.parametrize("seed", [42, 7])
def test_texts_hardly_repeat(seed: int) -> None:
    texts = defaultdict(list)
    for row in sample_corpus(seed=seed):
        texts[row.post.language].append(row.post.text)
    for of_language in texts.values():
        assert len(set(of_language)) > 0.97 * len(of_language)


def test_reviews_of_a_group_are_translations_in_one_split(corpus: tuple[LabelledPost, ...]) -> None:
    groups = defaultdict(list)
    for row in corpus:
        if row.post.type == "drug_review":
            groups[row.post.group].append(row)
        else:
            assert row.post.group == ""
    for number, rows in groups.items():
        assert [row.post.id for row in rows] == [f"de_cadecv2_{number}", f"fr_cadecv2_{number}"]
        assert len({(row.post.split, row.label) for row in rows}) == 1
        german, french = (set(regex.findall(r"\d+ mg", row.post.text)) for row in rows)
        assert german == french


def test_german_and_french_review_phrases_are_parallel() -> None:
    german, french = (_file(language) for language in ("de", "fr"))
    for name in ("slots", "review"):
        assert german[name].keys() == french[name].keys()
        for key in german[name]:
            pairs = zip(german[name][key], french[name][key], strict=True)
            if name == "review":
                for de, fr in pairs:
                    slots = [set(regex.findall(r"\{([a-z]+)", text)) for text in (de, fr)]
                    assert slots[0] == slots[1], (de, fr)


@pytest.mark.parametrize("language", ["en", "de", "fr", "ja", "ru", "zh", "fa"])
def test_the_phrases_are_many_and_differ(language: str) -> None:
    phrases = _file(language)
    posts, slots = phrases["posts"], phrases["slots"]
    assert len(set(posts["positive"])) >= (15 if language == "fa" else 25)
    assert len(set(posts["negative"])) >= (30 if language == "fa" else 50)
    assert len(set(slots["drug"])) >= 15
    assert len(set(slots["n"])) >= 25
    for lines in (*posts.values(), *slots.values()):
        assert len(set(lines)) == len(lines)
    for entries in slots.values():  # every entry of a slot has the same number of forms
        assert len({entry.count("|") for entry in entries}) == 1


def test_symptoms_and_drugs_alone_do_not_decide(corpus: tuple[LabelledPost, ...]) -> None:
    for language in ("en", "ru", "zh"):
        drugs = [entry.split("|")[0] for entry in _file(language)["slots"]["drug"]]
        for label in (0, 1):
            texts = [r.post.text.lower() for r in corpus if r.post.language == language and r.label == label]
            assert all(any(drug.lower() in text for text in texts) for drug in drugs)


def test_the_note_calls_the_data_synthetic() -> None:
    assert "synthetic" in SAMPLE_NOTE
    assert "real posts" in SAMPLE_NOTE
    assert SAMPLE_NOTE.count(".") == 1


def _file(language: str) -> dict[str, dict[str, list[str]]]:
    source = files("polyvigil.data").joinpath("sample_phrases", f"{language}.toml")
    data = tomllib.loads(source.read_text(encoding="utf-8"))
    return {
        name: {key: text.strip().splitlines() for key, text in data[name].items()}
        for name in ("slots", "posts", "review")
        if name in data
    }
