"""Masking on the shapes of many scripts: what goes, what stays, twice is once, and no text takes long."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.text.mask import _SHAPES, LINKS_AND_PEOPLE, mask, masked_spans
from polyvigil.text.normalise import clean


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("see https://a.b/c?x=1 and www.foo.org/x, or foo.com/bar", "see [URL] and [URL] or [URL]"),
        ("hxxp://evil.example/path", "[URL]"),
        ("mail foo.bar+x@mail.example.co.uk pls", "mail [EMAIL] pls"),
        ("ｆｏｏ＠ｍａｉｌ．ｃｏｍ", "[EMAIL]"),
        ("почта иван@почта.рф", "почта [EMAIL]"),
        ("@user_12 hi", "[USER] hi"),
        ("@John Smith told me", "[USER] told me"),
        ("@Jürgen. ok", "[USER]. ok"),
        ("ありがとう@user_12痛いです", "ありがとう[USER]痛いです"),
        ("hi ＠田中さん 痛い", "hi [USER] 痛い"),
        ("<user> and u/some_guy said", "[USER] and [USER] said"),
        ("born 12.03.1985 or 1985-03-12 or 12/3/85", "born [DATE] or [DATE] or [DATE]"),
        ("تولد ۱۳۶۵/۰۵/۱۲ تلفن ۰۹۱۲۳۴۵۶۷۸۹", "تولد [DATE] تلفن [PHONE]"),
        ("٠١٢٣٤٥٦٧٨٩", "[PHONE]"),
        ("电话１３８００１３８０００，1985年3月12日", "电话[PHONE]，[DATE]"),
        ("call +49 (0)30 1234-567 now", "call [PHONE] now"),
        ("tél 01.23.45.67.89 le 12.3.2024.", "tél [PHONE] le [DATE]."),
        ("id AB123456", "id AB[NUMBER]"),
        ("0\u200b9\u200b1\u200b2\u200b3\u200b4\u200b5\u200b6", "[PHONE]"),
        ("１２３４５６", "[NUMBER]"),
        ("a@\u0345.c", "[EMAIL]"),
    ],
)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "took 150-300mg 2x, 20 mg, 10000 IU",
        "I take 1.5 mg and 10.000 IE, since 2019",
        "no sleep for 3 days.It hurts",
        "кружится голова после 50 мг",
        "薬を飲んだら眠れなくなった 10mg",
        "سرگیجه بعد از ۲۰ میلی گرم",
        "Anna told me so",  # what masking cannot do: a name in running text
    ],
)
def test_medical_content_is_not_masked(text: str) -> None:
    assert mask(text) == text


_PARTS = st.sampled_from(
    ["@", "＠", ".", "/", "-", "1", "۲", "Ab", "x", " ", "www.", "http://", "年", "月", "田", "u/", "+"]
)


@given(st.lists(_PARTS, max_size=30).map("".join) | st.text(max_size=60))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@pytest.mark.parametrize("unit", ["a", "a.", "1 ", "@", "a-", "9", "a@", "http://", "1.2.", "a.b@", "u/", "@A", "+ ("])
def test_hostile_runs_end(unit: str) -> None:
    """Twenty thousand characters: a pattern that takes quadratic time would not come back."""
    once = mask(unit * (20_000 // len(unit)))
    assert mask(once) == once


def test_what_is_masked_in_place_is_what_mask_masks() -> None:
    """Of texts put together of everything that looks like something, across hidden characters and white space."""
    random = Random(1)
    parts = ("@", "john", " ", "_", "https://a.de/x?y", "www.x.org", "a@b.de", "+49 170 123 4567", "12.3.2024",
             "\u200b", "\n", "\u202e", "123456789", "u/some_one", "2024年3月2日", "頭痛", "é", "e\u0301", "ＷＷＷ．",
             ".", "/", ".com", "Anna", " Smith", ")", "(", " 5", "0", "7-", "[URL]", "<user>", "\ud800")  # fmt: skip
    for _ in range(1500):
        text = "".join(random.choice(parts) for _ in range(random.randint(1, 12)))
        shown, at = "", 0
        for span in masked_spans(text):
            assert at <= span.start < span.end <= len(text)
            shown, at = f"{shown}{text[at : span.start]}{span.token}", span.end
        assert " ".join(clean(shown + text[at:]).split()) == mask(text)


def test_what_a_shape_finds_holds_its_part() -> None:
    """So that a text without the part need not be searched: with letters that fold to others, in all cases."""
    random, found = Random(2), 0
    parts = ("a", "B", "é", "ſ", "K", "\u0345", "ß", "@", "＠", "﹫", ".", "．", "｡", "com", "COM", "De", "uſ", ".рф",
             ".РФ", "-", "_", "1", " ", "/x", "田", "[URL]")  # fmt: skip
    for _ in range(20_000):
        text = "".join(random.choice(parts) for _ in range(random.randint(1, 9)))
        for shape in _SHAPES:
            if shape.part and shape.pattern.search(text):
                assert shape.part.search(text), (shape.token, text)
                found += 1
    assert found > 1000


def test_of_some_shapes_alone() -> None:
    text = "@anna_b wrote on 12.3.2024: https://t.co/x"
    assert masked_spans(text, LINKS_AND_PEOPLE) == [(0, 7, "[USER]"), (28, 42, "[URL]")]
    assert [span.token for span in masked_spans(text)] == ["[USER]", "[DATE]", "[URL]"]
    assert masked_spans("") == []
