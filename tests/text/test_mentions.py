"""Terms in texts: against a brute-force search, and where scripts differ."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text.mentions import Term, folded, lexicon, mentions


def _found(text: str, *terms: str) -> list[str]:
    found = mentions(text, lexicon(Term(term, "drug") for term in terms))
    return [text[mention.start : mention.end] for mention in found]


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("Pills, ILL and ill.", ["ill"], ["ILL", "ill"]),
        ("a sick headache, a headache", ["headache", "sick headache"], ["sick headache", "headache"]),
        ("side  \n effects", ["side effects"], ["side  \n effects"]),
        ("side. Effects; side-effects", ["side effects"], []),
        ("co-trimoxazole or co trimoxazole", ["Co-Trimoxazole"], ["co-trimoxazole"]),
        ("ロキソニンS飲んだ", ["ロキソニン", "ロキソ", "飲"], ["ロキソニン", "飲"]),
        ("昨天头痛得厉害", ["头痛"], ["头痛"]),
        ("ﾛｷｿﾆﾝ と ガ", ["ロキソニン", "か\u3099", "カ\u3099"], ["ﾛｷｿﾆﾝ", "ガ"]),
        ("می\u200cخورم میخورم", ["میخورم"], ["می\u200cخورم", "میخورم"]),
        ("سردرد و سر", ["سر"], ["سر"]),
        ("كليك كلیک", ["کلیک"], ["كليك", "كلیک"]),
        ("cafe\u0301 CAFÉ", ["café"], ["cafe\u0301", "CAFÉ"]),
        ("STRASSE Straße", ["straße"], ["STRASSE", "Straße"]),
        ("İbuprofen ибупрофен ИБУПРОФЕН", ["ибупрофен"], ["ибупрофен", "ИБУПРОФЕН"]),
        ("a b c d", ["a b c x", "b c"], ["b c"]),
        ("a b a b c", ["a b c", "b a"], ["b a"]),
        ("<b>x</b>\ud800", ["b"], ["b", "b"]),
        ("anything", ["", "...", "any thing"], []),
    ],
)
def test_terms_are_found(text: str, terms: list[str], expected: list[str]) -> None:
    assert _found(text, *terms) == expected


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30).map(" ".join), st.lists(WORDS, max_size=6))
def test_it_is_the_leftmost_longest_search(text: str, terms: list[str]) -> None:
    expected, place, words = [], 0, text.split()
    while place < len(words):
        here = [term for term in terms if words[place : place + len(term.split())] == term.split()]
        longest = max(here, key=len, default="")
        expected += [longest] if longest else []
        place += max(len(longest.split()), 1)
    assert _found(text, *terms) == expected


def test_of_equal_terms_the_first_counts() -> None:
    terms = [Term("Aspirin", "drug", "B01"), Term("ASPIRIN", "drug", "N02"), Term("nausea", "reaction")]
    known = lexicon(terms)
    assert known.size == 2
    assert [(m.term.kind, m.term.code) for m in mentions("aspirin, nausea", known)] == [
        ("drug", "B01"),
        ("reaction", ""),
    ]
    assert folded("Aspirin") == folded("aSPIRIN") != folded("aspirin c")
    assert mentions("aspirin", lexicon([])) == []


def test_hostile_text_is_accepted() -> None:
    """Text that nearly matches long terms everywhere: without links to shorter ends this would be quadratic."""
    terms = lexicon([Term("あ" * n + "い", "drug") for n in range(1, 400)] + [Term("a " * 300 + "b", "drug")])
    assert mentions("あ" * 100_000, terms) == []
    assert mentions("a " * 50_000, terms) == []
    (only,) = mentions("あ" * 1000 + "い", terms)
    assert only.end - only.start == 400
