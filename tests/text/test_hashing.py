"""Hashed n-grams against scikit-learn's analysers, which count strings."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from polyvigil.text.hashing import Grams, character_ngrams, code_points, lay_out, word_ngrams, word_spans
from polyvigil.text.normalise import model_text

TEXTS = st.lists(st.text(st.sampled_from("abİß_ 0é頭痛зم\u200c😀.@-'ΣA"), max_size=25).map(model_text), max_size=6)


def _multisets(grams: Grams, rows: int) -> list[list[int]]:
    """How often each distinct hash stands in each text, without the hashes: what equal strings must give too."""
    return [sorted(Counter(grams.hashes[grams.rows == row].tolist()).values()) for row in range(rows)]


def _expected(texts: list[str], **options: object) -> list[list[str]]:
    analyse = CountVectorizer(**options).build_analyzer()
    return [analyse(text) for text in texts]


def _check(grams: Grams, expected: list[list[str]]) -> None:
    assert _multisets(grams, len(expected)) == [sorted(Counter(found).values()) for found in expected]
    everything = {gram for found in expected for gram in found}
    assert len(set(grams.hashes.tolist())) == len(everything)  # equal strings, and only they, share a hash


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_character_ngrams_are_those_of_char_wb(texts: list[str]) -> None:
    grams = character_ngrams(lay_out(texts), low=2, high=5)
    _check(grams, _expected(texts, analyzer="char_wb", ngram_range=(2, 5)))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_word_ngrams_are_those_of_the_default_token_pattern(texts: list[str]) -> None:
    grams = word_ngrams(lay_out(texts), low=1, high=2)
    _check(grams, _expected(texts, ngram_range=(1, 2)))


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_skip_grams_are_pairs_of_words_with_others_between_them(texts: list[str], skipped: int) -> None:
    laid = lay_out(texts)
    grams, plain = word_ngrams(laid, low=1, high=2, skipped=skipped), word_ngrams(laid, low=1, high=2)
    first = len(plain.hashes)
    assert np.array_equal(grams.hashes[:first], plain.hashes)
    words = _expected(texts, ngram_range=(1, 1))
    pairs = [
        [f"{one} {found[at + between]}" for between in range(2, skipped + 2) for at, one in enumerate(found[:-between])]
        for found in words
    ]
    _check(Grams(grams.hashes[first:], grams.rows[first:]), pairs)
    assert not set(grams.hashes[first:].tolist()) & set(plain.hashes.tolist())
    spans = word_spans(laid, low=1, high=2, skipped=skipped)
    assert len(spans.starts) == len(grams.hashes)
    starts, ends = spans.starts[first:], spans.ends[first:]
    assert (laid.word[starts] & laid.word[ends - 1] & ~laid.word[starts - 1] & ~laid.word[ends]).all()


def test_hash_depends_on_the_string_alone() -> None:
    alone = set(word_ngrams(lay_out(["bad headache"]), low=1, high=2).hashes.tolist())
    among = word_ngrams(lay_out(["x" * 1000, "bad headache", "bad"]), low=1, high=2)
    assert set(among.hashes[among.rows == 1].tolist()) == alone


def test_hashes_are_pinned() -> None:
    """Stored models hold these numbers: if one changes, HASHING must get a new name."""
    words = word_ngrams(lay_out(["bad head"]), low=1, high=2)
    assert words.hashes.tolist() == PINNED_WORDS
    assert character_ngrams(lay_out(["ab"]), low=2, high=4).hashes.tolist() == PINNED_CHARACTERS


def test_no_texts() -> None:
    assert len(character_ngrams(lay_out([]), low=2, high=5).hashes) == 0
    assert len(word_ngrams(lay_out(["", ""]), low=1, high=2).hashes) == 0


@pytest.mark.parametrize("size", [1, 70_000])
def test_long_texts_use_larger_power_tables(size: int) -> None:
    text = "word " * size + "headache"
    grams = word_ngrams(lay_out([text]), low=1, high=1)
    assert len(np.unique(grams.hashes)) == 2


PINNED_WORDS = [0x6607A0023CA2AD93, 0xFA0895A4254AF76E, 0xD3862C398CE4567B]
PINNED_CHARACTERS = [
    0x87212E1A9F77A565,
    0xE97D1A50439DE324,
    0x00045DFB63D6C4C2,
    0x8706C8B16DB093E9,
    0x773A7556FA4F75FA,
    0xFC8C793524D26415,
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.sampled_from("aA Σσ.'\u0301\u00ad’İIß\U00010400Я"), max_size=8), max_size=8))
def test_lower_case_is_that_of_each_text_alone(texts: list[str]) -> None:
    lowered = [text.lower() for text in texts]
    found = code_points(texts)
    assert found.points.tolist() == list(map(ord, " " + "".join(text + " " for text in lowered)))
    assert found.lengths.tolist() == list(map(len, lowered))


def test_lower_case_of_every_code_point() -> None:
    every = [chr(point) for point in range(0x110000) if chr(point) not in "Σİ"]
    assert code_points(every).points[1::2].tolist() == [ord(point.lower()) for point in every]
