"""The authored suites: complete in every language, clean, and labelled as the annotation rules say."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pytest

from polyvigil.checks.behaviour_suite import CASES, LANGUAGES, Case, behaviours, cases, suite
from polyvigil.errors import RecipeError
from polyvigil.text.normalise import clean, model_text, no_text_reason, normalise
from polyvigil.text.script import main_script
from polyvigil.types import LabelledPost

SLOT = re.compile(r"\{([a-z]+)(?::(\d))?\}")
CAPABILITIES = {
    "reaction", "indication", "negation", "second-hand", "hypothetical", "question", "inefficacy", "withdrawal", "dose",
    "brand", "drug-swap", "typo", "emoji", "noise",
}  # fmt: skip
COUNTS = {"explicit", "relative", "withdrawn", "after_dose"}
DOES_NOT_COUNT = {"indicated", "negated", "hearsay", "feared", "asked", "no_effect", "dose_alone"}
SCRIPTS = {"ja": "Japanese", "ru": "Cyrillic", "zh": "Han", "fa": "Arabic"}


@pytest.fixture(scope="module")
def every() -> tuple[Case, ...]:
    return cases()


@pytest.mark.parametrize("language", LANGUAGES)
def test_suites_have_templates_and_entries_for_all(language: str) -> None:
    book = suite(language)
    assert set(book.templates) == {behaviour.name for behaviour in behaviours()}
    used: set[str] = set()
    for behaviour in behaviours():
        templates = book.templates[behaviour.name]
        assert 4 <= len(set(templates)) == len(templates), behaviour.name
        assert {len(texts) for texts in templates} == {1 if behaviour.kind == "functionality" else 2}, behaviour.name
        for text in (text for texts in templates for text in texts):
            assert SLOT.search(text), text
            assert not re.search(r"[{}|]|=>", SLOT.sub("", text)), text
            for name, form in SLOT.findall(text):
                used.add(name)
                assert all(int(form or 0) < len(entry) for entry in book.slots[name]), text
    assert used == set(book.slots)
    for name, entries in book.slots.items():
        assert len(set(entries)) == len(entries), name
        assert len({len(entry) for entry in entries}) == 1, name
        assert all(form and form == form.strip() for entry in entries for form in entry), name
    assert not {entry[0] for entry in book.slots["drug"]} & {entry[0] for entry in book.slots["other"]}
    assert all(len(set(entry)) == len(entry) for entry in book.slots["brand"])


def test_every_capability_has_its_cases_in_every_language(every: tuple[Case, ...]) -> None:
    assert {behaviour.capability for behaviour in behaviours()} == CAPABILITIES
    distinct = Counter((case.behaviour.name, case.language) for case in set(every))
    assert distinct == {(behaviour.name, language): CASES for behaviour in behaviours() for language in LANGUAGES}
    by_template = Counter((case.behaviour.name, case.language, case.template) for case in every)
    assert set(by_template.values()) == {4, 5, 6}, "no template has the word alone"


def test_texts_are_as_a_model_reads_them(every: tuple[Case, ...]) -> None:
    for case in every:
        for text in case.texts:
            assert not re.search(r"[{}|]|=>|  ", text), text
            assert unicodedata.is_normalized("NFC", text)
            assert clean(text) == text
            plain = re.sub(r"https://t\.co/\w+", "[URL]", text.replace("@USER___", "@USER"))
            assert normalise(text) == plain
            assert (plain != text) == (case.behaviour.capability == "noise" and text == case.texts[1])
            assert not no_text_reason(model_text(text))
        assert len(set(case.texts)) == len(case.texts)


def test_texts_are_in_the_script_of_their_language(every: tuple[Case, ...]) -> None:
    for case in every:
        assert main_script(case.texts[0]) == SCRIPTS.get(case.language, "Latin"), case.texts


def test_labels_are_those_of_the_annotation_rules() -> None:
    told = {behaviour.name: behaviour.expect for behaviour in behaviours() if behaviour.kind == "functionality"}
    assert told == dict.fromkeys(COUNTS, "ade") | dict.fromkeys(DOES_NOT_COUNT, "no ade")
    directions = {behaviour.name: behaviour.expect for behaviour in behaviours() if behaviour.kind == "direction"}
    assert directions == {
        "reaction_added": "not lower",
        "indication_to_reaction": "not lower",
        "negation_added": "not higher",
    }


def test_pairs_differ_only_in_the_tested_property(every: tuple[Case, ...]) -> None:
    for case in every:
        book, (first, *rest) = suite(case.language), case.texts
        match case.behaviour.capability:
            case "noise" | "emoji":
                kept = re.sub(r"@USER___ |[💊📅☕🏥]|https\S+", "", rest[0])
                assert kept.strip().rstrip(".。") == first.rstrip(".。")
            case "brand" | "drug-swap":
                names = {form.casefold() for slot in ("drug", "other", "brand") for e in book.slots[slot] for form in e}
                assert _without(names, first) == _without(names, rest[0])
            case "dose" if rest:
                assert re.sub(r"\d+", "", first) == re.sub(r"\d+", "", rest[0])
            case "typo":
                assert abs(len(first) - len(rest[0])) <= 2


def _without(names: set[str], text: str) -> str:
    return re.sub("|".join(sorted(map(re.escape, names), key=len, reverse=True)), "#", text.casefold())


def test_cases_depend_on_the_seed_alone() -> None:
    of = {"languages": ("ru", "en"), "capabilities": ("negation",)}
    assert cases(**of, seed=7) == cases(**of, seed=7)
    assert cases(**of, seed=7) != cases(**of, seed=8)
    assert {(case.language, case.behaviour.capability) for case in cases(**of)} == {
        ("en", "negation"),
        ("ru", "negation"),
    }
    whole = [case for case in cases(seed=7) if case.language in of["languages"]]
    assert list(cases(**of, seed=7)) == [case for case in whole if case.behaviour.capability == "negation"]


def test_no_text_is_in_the_sample_corpus(every: tuple[Case, ...], corpus: tuple[LabelledPost, ...]) -> None:
    known = {model_text(item.post.text).casefold() for item in corpus}
    assert not known & {model_text(text).casefold() for case in every for text in case.texts}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"^--language: no behaviour suite for language 'xx'; there are: en, de, fr, "
    ):
        cases(languages=("en", "xx"))
    with pytest.raises(RecipeError, match=r"^--capability: no capability 'negatio'; there are: reaction, indication, "):
        cases(capabilities=("negatio",))
