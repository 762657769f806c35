"""Logits of hashed n-grams, compiled: what numpy computes in ``detect.linear``, bit for bit, one post at a time.

The hashes are those of text.hashing. A post's n-grams are looked up among the sorted hashes, counted beside them, and
summed as they come: on the grid of detect.ngram_features sums are exact, so their order is free.
Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

from polyvigil.detect.ngram_features import GRID, Table
from polyvigil.text.hashing import BASE, MIX_1, MIX_2, SKIPPED, SPACE

_Function = TypeVar("_Function", bound=Callable[..., object])
_Hashes = NDArray[np.uint64]
_Counts = NDArray[np.uint32]
_ONE = np.uint64(1)
_ROOT = np.sqrt(GRID)


class _Cache(FunctionCache):  # type: ignore[misc] # numba is not looked into
    """Compiled code on disk: where it cannot be written or read, this process compiles for itself alone."""

    def _guard_against_spurious_io_errors(self) -> AbstractContextManager[None]:
        return suppress(OSError)


def compiled(function: _Function) -> _Function:
    """Compiled at its first call, and kept on disk for later processes where there is a folder to keep it in."""
    made: _Function = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # no such folder
        made._cache = _Cache(function)  # type: ignore[attr-defined]
    return made


@compiled
def mix(value: np.uint64) -> np.uint64:
    value += BASE
    value = (value ^ (value >> np.uint64(30))) * MIX_1
    value = (value ^ (value >> np.uint64(27))) * MIX_2
    return value ^ (value >> np.uint64(31))


@compiled
def word_hashes(
    points: NDArray[np.uint32], mixed: _Hashes, is_word: NDArray[np.bool_], powers: _Hashes, low: int, high: int,
    skipped: int, hashes: _Hashes,
) -> int:  # fmt: skip
    """The hashes of the word n-grams of a text between two spaces, and of its pairs of words with 1 to ``skipped``
    words between them, into ``hashes``; how many."""
    single = np.empty(len(points) // 2, np.uint64)
    words = index = 0
    while index < len(points):
        start = index
        value = np.uint64(0)
        while is_word[points[index]]:  # the last point is a space
            value += mixed[index] * powers[index - start]
            index += 1
        if index - start >= 2:
            single[words] = mix(value)
            words += 1
        index += 1
    n_hashes = 0
    for first in range(words):
        value = np.uint64(0)
        for n in range(1, min(high, words - first) + 1):
            value = value * BASE + single[first + n - 1]
            if n >= low:
                hashes[n_hashes] = mix(value ^ (np.uint64(n) << np.uint64(32)))
                n_hashes += 1
        for between in range(1, min(skipped, words - first - 2) + 1):
            value = single[first] * BASE + single[first + between + 1]
            hashes[n_hashes] = mix(value ^ (SKIPPED << np.uint64(32)))
            n_hashes += 1
    return n_hashes


@compiled
def character_hashes(
    points: NDArray[np.uint32], mixed: _Hashes, low: int, high: int, rooms: tuple[_Hashes, _Hashes], hashes: _Hashes
) -> int:
    """The hashes of the character n-grams of a text between two spaces, into ``hashes``; how many."""
    rolling, whole = rooms
    size = len(points)
    ends = np.empty(size, np.int32)  # how far the next space is
    space = size
    for index in range(size - 1, -1, -1):
        ends[index] = space - index
        if points[index] == SPACE:
            space = index
    rolling[:size] = mixed[:size]
    n_hashes = 0
    for n in range(2, min(high, size) + 1):
        for index in range(size - n + 1):  # a loop of vector instructions; the next one picks
            value = rolling[index] * BASE + mixed[index + n - 1]
            rolling[index] = value
            whole[index] = mix(value + np.uint64(n))
        if n < low:
            continue
        for index in range(size - n + 1):
            hashes[n_hashes] = whole[index]
            if n == 2:
                n_hashes += (points[index] != SPACE) | (points[index + 1] != SPACE)
            else:
                n_hashes += ends[index] >= n - 1
    return n_hashes


@compiled
def _keys(hashes: _Hashes, count: int, table: Table, matches: _Hashes) -> int:
    """The places among the keys of those of the first ``count`` hashes that are keys, into ``found``; how many."""
    keys = table.keys
    known = 0
    for at in range(count):
        target = hashes[at]
        key = np.uint64(table.starts[target >> table.shift])
        key += np.uint64(keys[key] < target) + np.uint64(keys[key + _ONE] < target)  # no branch to mispredict
        while keys[key] < target:
            key += _ONE
        matches[known] = key
        known += keys[key] == target
    return known


@compiled
def _sum(
    hashes: _Hashes, count: int, table: Table, counts: _Counts, frequency: NDArray[np.float64], matches: _Hashes
) -> float:
    """What the n-grams of one block add to the logit: weight x TF-IDF of Euclidean length 1."""
    pairs = table.pairs
    known = _keys(hashes, count, table, matches)
    for at in range(known):
        counts[matches[at]] += 1
    squares = total = 0.0
    for at in range(known):
        key = matches[at]
        value = frequency[counts[key]] * pairs[key, 0]  # of a key met before it is 0, for no count is left
        counts[key] = 0
        squares += np.rint(value * value * GRID)
        total += np.rint(value * pairs[key, 1] * GRID)
    return 0.0 if squares == 0.0 else total / np.sqrt(squares) / _ROOT


@compiled
def logits(
    points: NDArray[np.uint32], lengths: NDArray[np.int64], is_word: NDArray[np.bool_], words: Table, characters: Table,
    counts: _Counts, frequency: NDArray[np.float64], intercept: float,
) -> NDArray[np.float64]:  # fmt: skip
    """The logit of each text, (n_texts,). ``points`` and ``lengths``: see text.hashing.CodePoints; ``is_word``: of each
    code point; ``counts``: a 0 for each n-gram of the larger table, before and after; ``frequency``: what each
    count from 0 up to the longest length plus 2 weighs, 0 nothing."""
    size = lengths.max() + 2
    mixed, powers = np.empty(size, np.uint64), np.ones(size, np.uint64)
    for index in range(1, size):
        powers[index] = powers[index - 1] * BASE
    rooms = np.empty(size, np.uint64), np.empty(size, np.uint64)
    hashes = np.empty(size * max(words.high + words.skipped, characters.high), np.uint64)
    keys = np.empty_like(hashes)
    result = np.empty(len(lengths))
    start = 0
    for text in range(len(lengths)):
        size = lengths[text] + 2
        codes = points[start : start + size]
        start += size - 1
        for index in range(size):
            mixed[index] = mix(np.uint64(codes[index]))
        logit = intercept
        n_hashes = word_hashes(codes, mixed, is_word, powers, words.low, words.high, words.skipped, hashes)
        logit += _sum(hashes, n_hashes, words, counts, frequency, keys)
        n_hashes = character_hashes(codes, mixed, characters.low, characters.high, rooms, hashes)
        logit += _sum(hashes, n_hashes, characters, counts, frequency, keys)
        result[text] = logit
    return result
