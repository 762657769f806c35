"""The normalisation: the paper's steps exactly, the Unicode rules, and time on hostile text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text.normalise import (
    FIRST_NORMALISATION,
    NORMALISATION,
    NORMALISATIONS,
    clean,
    has_lone_surrogate,
    model_text,
    model_texts,
    no_text_reason,
    normalise,
)

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)  # surrogates and controls included
NASTY = st.text(
    st.sampled_from("a ا\u0301\u0323\u200c\u200d\u202e\0\ud800👩👨\ufe0f🏽क़\u0958 가각ᄀ\n@<>h:/"), max_size=80
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://t.co/abc now", "see [URL] now"),
        ("http://a.b?c=d&e", "[URL]"),
        ("@USER___ @bob_1 <user> hi", "@USER @USER @USER hi"),
        ("in <pi> today", "in [PLACE] today"),
        ("soooo baaad!!!!", "soo baad!!"),
        ("  a \n\t b  ", "a b"),
        ("NOT the same Case", "NOT the same Case"),
        ("ｗｗｗｗ すごーーーい", "ｗｗ すごーーい"),
        ("see https://t.co/aaaa", "see [URL]"),
        ("htttp://x.y", "http://x.y"),  # links go before runs, as in the paper: this one is no link yet
        ("@ alone a@b.c", "@ alone a@USER.c"),
    ],
)
def test_paper_steps_in_their_order(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\0b", "ab"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("x\ud800y", "x\ufffdy"),
        ("e\u0301", "é"),
        ("می\u200cشود", "می\u200cشود"),  # ZWNJ between Persian letters stays
        ("\u200cab\u200c c\u200d", "ab c"),
        ("می\u200c\u200cشود", "می\u200cشود"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("👩🏽\u200d⚕\ufe0f", "👩🏽\u200d⚕\ufe0f"),
        ("soft\u00adhyphen zero\u200bwidth\ufeff", "softhyphen zerowidth"),
        ("line\nbreak\ttab", "line\nbreak\ttab"),
    ],
)
def test_unicode_rules(text: str, expected: str) -> None:
    assert clean(text) == expected


@settings(max_examples=400)
@given(st.one_of(ANY_TEXT, NASTY))
def test_clean_is_stable_encodable_and_nfc(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    once.encode()
    assert "\0" not in once


@settings(max_examples=200)
@given(st.one_of(ANY_TEXT, NASTY))
def test_model_text_never_fails_and_collapses_space(text: str) -> None:
    for normalisation in NORMALISATIONS:
        result = model_text(text, normalisation)
        assert result == result.strip()
        assert "  " not in result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I&#39;m <b>dizzy</b>", "I'm dizzy"),
        ("<p>bad</p><p>worse&nbsp;&nbsp;now</p>", "bad worse now"),
        ("&lt;3 &lt;user&gt; <user> <pi> x<y", "<3 @USER @USER [PLACE] x<y"),
        ('<a href="https://x.y">https://x.y</a> &#64;bob', "[URL] @USER"),
        ("e&#769; a&#0;b&#1;c head&shy;ache", "é a\ufffdbc headache"),
        ("&#33;&#33;&#33;&#33;", "!!"),
    ],
)
def test_html_is_undone_before_all_else(text: str, expected: str) -> None:
    assert model_text(text, NORMALISATION) == expected
    assert model_text(text) == model_text(text, FIRST_NORMALISATION) == normalise(clean(text)) != expected


@settings(max_examples=200)
@given(st.one_of(ANY_TEXT, NASTY))
def test_without_entities_and_tags_both_read_the_same(text: str) -> None:
    bare = text.replace("&", "").replace("<", "")
    assert model_text(bare, NORMALISATION) == model_text(bare)


HOSTILE = {
    "marks": "a\u0301\u0323\u0301\u0323\u0301",
    "pile of marks": "\u0301\u0323",
    "letters": "a",
    "mentions": "@",
    "links": "http",
    "joiners": "a\u200c",
    "emoji": "👨\u200d👩\u200d",
    "open tags": "<use",
    "spaces": " \n",
    "surrogates": "\ud800",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_text_is_accepted(name: str) -> None:
    """No step is quadratic: one that were would take minutes here. benchmarks/hostile_text.py has the times."""
    text = HOSTILE[name] * (1_000_000 // len(HOSTILE[name]))
    once = clean(text)
    assert clean(once) == once
    assert len(normalise(once)) <= len(once)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("\0 \u200b\n", "empty"),
        ("https://t.co/x http://y.z", "url_only"),
        ("@bob @USER___ https://t.co/x", "mention_only"),
        ("😀🤮!!!", "no_words"),
        ("...", "no_words"),
        ("ok 😀", ""),
        ("頭痛", ""),
        ("5mg", ""),
    ],
)
def test_reasons_for_empty_posts(text: str, reason: str) -> None:
    assert no_text_reason(model_text(text)) == reason


def test_lone_surrogate_is_noticed() -> None:
    assert has_lone_surrogate("a\udfff")
    assert not has_lone_surrogate("a😀")


PLAIN = st.text(st.sampled_from("abc XY.,!?:/é日本語からйπ😀"), max_size=40)
PLAINLY_ODD = st.text(
    st.sampled_from(
        "ab  <@>&;#3\u0301\u1100\u1161\u11a8\u09c7\u09be\u0958\u2126\u212b\ufb1d\U0001d15e\U0002f800://htps"
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(PLAIN, ANY_TEXT, NASTY, PLAINLY_ODD), max_size=40))
def test_many_texts_equal_each_alone(texts: list[str]) -> None:
    many = [*texts, *(["filler"] * 600)]
    for normalisation in NORMALISATIONS:
        assert model_texts(many, normalisation) == [model_text(text, normalisation) for text in many]


def test_characters_normalise_alike_beside_any_other() -> None:
    """Each code point of the planes that are looked at, after a letter and after one that composes, among many."""
    points = [*range(0x20000), *range(0x20000, 0x110000, 97)]
    texts = [form for c in map(chr, points) for form in (f"a{c}", f"\u1100{c}{c}")]
    for normalisation in NORMALISATIONS:
        assert model_texts(texts, normalisation) == [model_text(text, normalisation) for text in texts]


def test_an_entity_alone_makes_a_text_special() -> None:
    texts = [f"plain{n} &#{n % 90 + 33};x" for n in range(700)]
    assert model_texts(texts, NORMALISATION) == [model_text(text, NORMALISATION) for text in texts]
    assert model_texts(texts) == [model_text(text) for text in texts]


def test_a_text_that_composes_with_its_neighbour_is_not_plain() -> None:
    pairs = [
        chr(int(first, 16)) + chr(int(second, 16))
        for point in range(0x110000)
        if len(parts := unicodedata.decomposition(chr(point)).split()) == 2 and not parts[0].startswith("<")
        for first, second in [parts]
    ]
    assert len(pairs) > 1_000
    assert model_texts(pairs) == [model_text(text) for text in pairs]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((word, "missing") for word in ("nan", "NaN", "NULL", "None", "N/A", "Not Available", "<NA>")),
        *((word, "deleted") for word in ("[deleted]", "[removed]", "[Deleted by user]")),
        *((word, "spreadsheet_error") for word in ("#REF!", "#N/A", "#VALUE!", "#NAME?")),
        *((word, "") for word in ("none of it helped", "null effect", "nan told me", "#refills", "removed")),
    ],
)
def test_words_for_a_text_that_is_gone_are_no_text(text: str, reason: str) -> None:
    assert no_text_reason(model_text(f" {text}\n")) == reason
