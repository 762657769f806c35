"""The letters of a post alone: the shorter way of ASCII texts gives what the longer one does."""

from __future__ import annotations

import unicodedata

import regex
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.text.shingles import canonical

PIECES = ("[URL]", "[url]", "@USER", "@user", "[PLACE]", "[", "@", "a Pill", "12 mg", "\t'", "don't")


@given(st.lists(st.sampled_from(PIECES) | st.text(st.characters(codec="ascii"), max_size=9), max_size=9).map("".join))
def test_ascii_is_treated_like_all_texts(text: str) -> None:
    without = regex.sub(r"\[URL\]|@USER|\[PLACE\]", " ", text)
    expected = regex.sub(r"[^\p{L}\p{M}]+", "", unicodedata.normalize("NFKC", without).casefold())
    assert canonical(text) == expected
