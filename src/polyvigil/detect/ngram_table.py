"""What the compiled kernel reads: a table of n-grams."""

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
