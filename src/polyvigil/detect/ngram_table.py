"""What the compiled kernel reads and writes: tables of n-grams, and room to count in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.ngram_features import Vocabulary

_LOAD = 0.5  # at most this share of the slots is taken
_LAST = np.uint64(2**64 - 1)


class Table(NamedTuple):
    """The n-grams of one block, ``low`` to ``high`` long, in the order of their hashes, with free slots between them.

    ``keys`` uint64 (n_slots,): the smallest hash at this slot or after it, so they never fall. A hash that is known is
    at the slot of its top bits, ``hash >> shift``, or further on after smaller ones alone. ``pairs`` float32
    (n_slots, 2): inverse document frequency and weight; 0 after the last hash, where keys are 2^64 - 1.
    """

    keys: NDArray[np.uint64]
    pairs: NDArray[np.float32]
    shift: np.uint64
    low: int
    high: int


class Scratch(NamedTuple):
    """How often each n-gram stands in the post in work; all zero between posts.

    ``counts`` int32 (n_slots,); ``marks`` uint64, one bit for each slot that is not zero; ``groups`` uint64, one bit
    for each of ``marks`` that is not zero.
    """

    counts: NDArray[np.int32]
    marks: NDArray[np.uint64]
    groups: NDArray[np.uint64]


def table(
    vocabulary: Vocabulary, idf: NDArray[np.float32], weights: NDArray[np.float32], *, lengths: tuple[int, int]
) -> Table:
    """The table of a block whose n-grams are ``lengths`` long, from-to."""
    hashes = vocabulary.hashes
    bits = 1
    while len(hashes) > _LOAD * 2**bits:
        bits += 1
    order = np.arange(len(hashes))
    home = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    slots = order + np.maximum.accumulate(home - order)  # its own, or the one after the hash before
    size = max(2**bits, int(slots.max(initial=0)) + 1) + 2  # the kernel looks one slot ahead, and stops at _LAST
    keys = np.append(hashes, _LAST)[np.searchsorted(slots, np.arange(size))]
    pairs = np.zeros((size, 2), dtype=np.float32)
    pairs[slots, 0], pairs[slots, 1] = idf, weights
    return Table(keys, pairs, np.uint64(64 - bits), *lengths)


def scratch(table: Table) -> Scratch:
    """Empty room to count the n-grams of this table in."""
    marks = len(table.keys) // 64 + 1
    return Scratch(
        np.zeros(len(table.keys), dtype=np.int32),
        np.zeros(marks, dtype=np.uint64),
        np.zeros(marks // 64 + 1, dtype=np.uint64),
    )
