"""Sentences and smaller parts: they cover the text wholly, and end where a reader would say so."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text.sentences import WORDS_OF_A_PIECE, pieces, sentences, units

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)  # surrogates and controls included
NASTY = st.text(st.sampled_from("aи頭か。.!…؟?,、\n\r \u0301\u3099\u200c\u200f\ud800😀»」3h:/"), max_size=80)


@pytest.mark.parametrize(
    "parts",
    [
        ("I took it. ", "Then I felt sick!! ", "why?? ", "no idea"),
        ("i took 2.5 mg at night. ", "it cost 1,000.50 euros. ", "ok"),
        ("See https://a.b/c.d?x=1!y. ", "It helps"),
        ("Dr. Who gave me 3. August z. B. this, approx. 5 pills. ", "Fine"),
        ("He said (twice.) ", "“Really?” ", "Yes."),
        ("Выпил таблетку. ", "Голова болит… ", "Что делать? ", "Им. Павлова, ул. Ленина"),
        ("薬を飲んだ。", "「頭が痛い！」と言った。", "もう無理！？", "寝る"),
        ("口がカラカラ…", "副作用つらい"),
        ("吃了药。", "头晕!", "怎么办？"),
        ("سرم درد گرفت؟", "بعد خوابیدم. ", "می\u200cشود گفت خوب شدم! ", "تمام"),
        ("دوا کھائی۔ ", "سر میں درد"),
        ("दवा ली। ", "सिर दर्द"),
        ("one\r\n", "two\n\n\n", "three\u2028", "four"),
        ("done.\u200f ", "next"),
        ("!!! hey. ", "ok. ... :)"),
        ("  \n\n starts late. ", "ends  \n "),
        ("a.b.c www.site.com/x.y v2.0 no end",),
        (" \t\n",),
        ("...",),
        (),
    ],
)
def test_sentence_boundaries(parts: tuple[str, ...]) -> None:
    text = "".join(parts)
    assert tuple(text[part.start : part.end] for part in sentences(text)) == parts


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY_TEXT, NASTY), st.integers(1, 40))
def test_sentences_and_pieces_cover_any_text(text: str, most: int) -> None:
    for parts in (sentences(text), pieces(text, most=most)):
        assert "".join(text[part.start : part.end] for part in parts) == text
        assert all(part.start < part.end for part in parts)
    assert len(pieces(text, most=most)) <= most
    for first, second in pairwise(sentences(text)):
        assert first.end == second.start


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY_TEXT, NASTY))
def test_units_are_in_order_and_miss_no_letter(text: str) -> None:
    found = list(units(text))
    assert all(a.end <= b.start for a, b in pairwise(found))
    inside = {place for unit in found for place in range(unit.start, unit.end)}
    assert {place for place, letter in enumerate(text) if letter.isalnum()} <= inside


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can't, ok_1!", ["I", "can", "t", "ok_1"]),
        ("EVE錠を2錠", ["EVE", "錠", "を", "2", "錠"]),
        ("می\u200cخورم هر شب", ["می\u200cخورم", "هر", "شب"]),
        ("cafe\u0301 か\u3099 ｶﾞ", ["cafe\u0301", "か\u3099", "ｶﾞ"]),
        ("so 🤮👩🏽\u200d⚕\ufe0f!", ["so", "🤮👩🏽\u200d⚕\ufe0f"]),
        ("\u0301 -- ", []),
    ],
)
def test_units(text: str, expected: list[str]) -> None:
    assert [text[unit.start : unit.end] for unit in units(text)] == expected


def test_long_sentences_are_split_into_clauses_and_words() -> None:
    text = "when I woke up, my head hurt; " + " ".join(f"w{n}" for n in range(13))
    found = [text[part.start : part.end] for part in pieces(text, most=32)]
    assert found[:2] == ["when I woke up, ", "my head hurt; "]
    assert [len(part.split()) for part in found[2:]] == [4, 4, 5]
    assert max(len(part.split()) for part in found) <= WORDS_OF_A_PIECE
    assert len(pieces(text, most=2)) == 2
    japanese = "薬を飲んだら、頭が痛くて眠れない"
    assert [japanese[p.start : p.end] for p in pieces(japanese, most=32)] == [
        "薬を飲んだら、",
        "頭が痛く",
        "て眠れない",
    ]


def test_surplus_sentences_are_merged_evenly() -> None:
    text = "".join(f"Sentence {place} is here. " for place in range(70))
    found = pieces(text, most=32)
    assert [len(sentences(text[part.start : part.end])) for part in found].count(2) == 26
    assert {len(sentences(text[part.start : part.end])) for part in found} == {2, 3}


@pytest.mark.parametrize(
    "unit",
    [" \n", ". ", "...a", "a.", "!\u0301", '."', "https://", "https://a. ", "。」", ", ", ",,,,a", "dr. ", "か\u3099"],
)
def test_hostile_text_is_accepted(unit: str) -> None:
    """A quadratic step would take minutes on this."""
    text = unit * (100_000 // len(unit)) + "a"
    assert "".join(text[part.start : part.end] for part in sentences(text)) == text
    assert len(pieces(text, most=32)) <= 32
    long = unit[0] * 100_000 + "a"
    assert sentences(long)[-1].end == len(long) == pieces(long, most=32)[-1].end
