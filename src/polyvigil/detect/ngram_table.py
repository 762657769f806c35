"""What the compiled kernel reads and writes: tables of n-grams, and room to count in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.ngram_features import Vocabulary

_LAST = np.uint64(2**64 - 1)


class Table(NamedTuple):
    """The n-grams of one block, ``low`` to ``high`` long.

    ``keys`` uint64 (n_grams + 2,): their hashes, sorted, and 2^64 - 1 twice. ``starts`` int32: at ``hash >> shift``,
    where the keys with these top bits begin. ``pairs`` float32 (n_grams + 2, 2): inverse document frequency and weight.
    """

    keys: NDArray[np.uint64]
    starts: NDArray[np.int32]
    pairs: NDArray[np.float32]
    shift: np.uint64
    low: int
    high: int


class Scratch(NamedTuple):
    """How often each key stands in the post in work; all zero between posts.

    ``counts`` int32 (n_keys,); ``marks`` uint64, one bit for each count that is not zero; ``groups`` uint64, one bit
    for each of ``marks`` that is not zero.
    """

    counts: NDArray[np.int32]
    marks: NDArray[np.uint64]
    groups: NDArray[np.uint64]


def table(
    vocabulary: Vocabulary, idf: NDArray[np.float32], weights: NDArray[np.float32], *, lengths: tuple[int, int]
) -> Table:
    """The table of a block whose n-grams are ``lengths`` long, from-to."""
    bits = max(len(vocabulary.hashes).bit_length(), 1)  # at most one key for each start, on average
    shift = np.uint64(64 - bits)
    starts = np.searchsorted(vocabulary.hashes, np.arange(2**bits, dtype=np.uint64) << shift).astype(np.int32)
    pairs = np.zeros((len(idf) + 2, 2), dtype=np.float32)
    pairs[:-2, 0], pairs[:-2, 1] = idf, weights
    return Table(np.append(vocabulary.hashes, [_LAST, _LAST]), starts, pairs, shift, *lengths)


def scratch(table: Table) -> Scratch:
    """Empty room to count the n-grams of this table in."""
    marks = len(table.keys) // 64 + 1
    return Scratch(
        np.zeros(len(table.keys), dtype=np.int32),
        np.zeros(marks, dtype=np.uint64),
        np.zeros(marks // 64 + 1, dtype=np.uint64),
    )
