"""Hashed n-grams of posts: the vocabulary, TF-IDF weights, and the same as a table for the compiled kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from polyvigil.text.hashing import (
    Characters,
    Grams,
    NgramSpans,
    character_ngrams,
    character_spans,
    lay_out,
    word_ngrams,
    word_spans,
)
from polyvigil.text.normalise import model_texts
from polyvigil.types import Post

BATCH_CHARACTERS = 1 << 19  # bounds memory: about 60 bytes a character while a batch is in work
_BUCKET_BITS = 18

GRID = 2.0**24
"""Terms of a logit are rounded to multiples of 1/GRID: their sums, below 2^29, are exact, so no order changes them."""

_T = TypeVar("_T", str, Post)


@dataclass(frozen=True, slots=True)
class NgramSpace:
    """Which n-grams are looked at: words from-to, characters from-to, and pairs of words with up to ``skip_words``
    others between them, which belong to the word n-grams."""

    word_ngrams: tuple[int, int]
    character_ngrams: tuple[int, int]
    skip_words: int = 0

    def blocks(self, characters: Characters) -> tuple[Grams, Grams]:
        """The word n-grams and the character n-grams, in this order."""
        return (
            word_ngrams(characters, low=self.word_ngrams[0], high=self.word_ngrams[1], skipped=self.skip_words),
            character_ngrams(characters, low=self.character_ngrams[0], high=self.character_ngrams[1]),
        )

    def spans(self, characters: Characters) -> tuple[NgramSpans, NgramSpans]:
        """Where the n-grams of ``blocks`` stand."""
        return (
            word_spans(characters, low=self.word_ngrams[0], high=self.word_ngrams[1], skipped=self.skip_words),
            character_spans(characters, low=self.character_ngrams[0], high=self.character_ngrams[1]),
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """Non-zero counts of one batch, by row, then by column: ``rows`` (n,), ``columns`` (n,), ``counts`` (n,)."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    counts: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Sorted hashes of the n-grams of one block; ``buckets[b]`` is where hashes with top bits b begin."""

    hashes: NDArray[np.uint64]
    buckets: NDArray[np.int64]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64]) -> Vocabulary:
        """From sorted distinct hashes. Raises ValueError when they are not."""
        if len(hashes) > 1 and not bool(np.all(hashes[1:] > hashes[:-1])):
            raise ValueError("hashes must be sorted and distinct")
        tops = (hashes >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
        return cls(hashes, np.concatenate([[0], np.cumsum(np.bincount(tops, minlength=1 << _BUCKET_BITS))]))

    def columns(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The column of each hash, -1 for one not in the vocabulary: (n,). One look at the bucket, then along it."""
        result = np.full(len(hashes), -1, dtype=np.int64)
        if not len(self.hashes):
            return result
        top = (hashes >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
        position, end = self.buckets[top], self.buckets[top + 1]
        open_ = np.flatnonzero(position < end)
        while len(open_):
            at = position[open_]
            hit = self.hashes[at] == hashes[open_]
            result[open_[hit]] = at[hit]
            position[open_] += 1
            open_ = open_[~hit & (at + 1 < end[open_])]
        return result


def batches(items: Sequence[_T], *, characters: int = BATCH_CHARACTERS) -> Iterator[Sequence[_T]]:
    """Runs of consecutive items with up to ``characters`` characters in all; a longer item is a batch of its own."""
    ends = np.cumsum([len(item.text if isinstance(item, Post) else item) for item in items])
    start = 0
    while start < len(items):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + characters, side="right")), start + 1)
        yield items[start:end]
        start = end


def characters_of(posts: Sequence[Post], normalisation: str) -> Characters:
    """The normalised characters of the posts, laid out for hashing."""
    return lay_out(model_texts([post.text for post in posts], normalisation))


def count(grams: Grams, vocabulary: Vocabulary) -> Counts:
    """How often each n-gram of the vocabulary stands in each text."""
    columns = vocabulary.columns(grams.hashes)
    known = columns >= 0
    width = max(len(vocabulary.hashes), 1)
    keys = np.sort(grams.rows[known].astype(np.int64) * width + columns[known])
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(np.append(first, len(keys))).astype(np.float64)
    return Counts(keys[first] // width, keys[first] % width, counts)


def term_weights(counts: Counts, idf: NDArray[np.floating], *, sublinear: bool, n_rows: int) -> NDArray[np.float64]:
    """TF-IDF of each non-zero count, each row of Euclidean length 1: (n,), in the order of ``counts``.

    Equal to scikit-learn's TfidfVectorizer (norm="l2", smooth_idf=True) on the same vocabulary. Sums run row by row
    in the order of the columns, so a row's values are bit-equal whatever rows stand beside it.
    """
    values = _frequency(counts, sublinear=sublinear) * idf[counts.columns]
    squares = np.bincount(counts.rows, weights=values * values, minlength=n_rows)
    return values / np.sqrt(squares)[counts.rows]


def logit_terms(
    counts: Counts, idf: NDArray[np.float32], weights: NDArray[np.float32], *, sublinear: bool, n_rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the n-grams of a block add to the logit of each row, (n_rows,); and each of ``counts`` by itself, (n,).

    weight x TF-IDF of ``term_weights``, with every sum taken on the GRID: within 1e-7 of it, and bit-equal whatever
    rows stand beside a row and in whatever order its n-grams are summed.
    """
    values = _frequency(counts, sublinear=sublinear) * idf[counts.columns]
    squares = np.rint(values * values * GRID)
    terms = np.rint(values * weights[counts.columns] * GRID)
    lengths = np.sqrt(np.bincount(counts.rows, weights=squares, minlength=n_rows))
    lengths[lengths == 0.0] = np.inf
    sums = np.bincount(counts.rows, weights=terms, minlength=n_rows)
    return sums / lengths / np.sqrt(GRID), terms / lengths[counts.rows] / np.sqrt(GRID)


def _frequency(counts: Counts, *, sublinear: bool) -> NDArray[np.float64]:
    return 1.0 + np.log(counts.counts) if sublinear else counts.counts


_LAST = np.uint64(2**64 - 1)


class Table(NamedTuple):
    """The n-grams of one block, ``low`` to ``high`` long, and pairs of words with up to ``skipped`` between them.

    ``keys`` uint64 (n_grams + 2,): their hashes, sorted, and 2^64 - 1 twice. ``starts`` int32: at ``hash >> shift``,
    where the keys with these top bits begin. ``pairs`` float32 (n_grams + 2, 2): inverse document frequency and weight.
    """

    keys: NDArray[np.uint64]
    starts: NDArray[np.int32]
    pairs: NDArray[np.float32]
    shift: np.uint64
    low: int
    high: int
    skipped: int


def table(
    vocabulary: Vocabulary,
    idf: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    lengths: tuple[int, int],
    skipped: int = 0,
) -> Table:
    """The table of a block whose n-grams are ``lengths`` long, from-to."""
    bits = max(len(vocabulary.hashes).bit_length(), 1)  # at most one key for each start, on average
    shift = np.uint64(64 - bits)
    starts = np.searchsorted(vocabulary.hashes, np.arange(2**bits, dtype=np.uint64) << shift).astype(np.int32)
    pairs = np.zeros((len(idf) + 2, 2), dtype=np.float32)
    pairs[:-2, 0], pairs[:-2, 1] = idf, weights
    return Table(np.append(vocabulary.hashes, [_LAST, _LAST]), starts, pairs, shift, *lengths, skipped)
