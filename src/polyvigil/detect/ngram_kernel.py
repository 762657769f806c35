"""Logits of hashed n-grams, compiled: what numpy computes in ``detect.linear``, bit for bit, one post at a time.

The hashes are those of text.hashing. A post's n-grams are looked up among the sorted hashes and counted beside them; a
bit for each one in use leads through them in that order, so that every sum runs as numpy's does.
Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from polyvigil.detect.ngram_table import Scratch, Table
from polyvigil.text.hashing import BASE, MIX_1, MIX_2, SPACE

_Function = TypeVar("_Function", bound=Callable[..., object])
_Hashes = NDArray[np.uint64]
_ONE, _SIX, _63 = np.uint64(1), np.uint64(6), np.uint64(63)


def _compiled(function: _Function) -> _Function:
    """Compiled at its first call, and kept on disk for later processes where there is a folder to keep it in."""
    try:
        made: _Function = njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no such folder
        made = njit(nogil=True, error_model="numpy")(function)
    return made


@intrinsic  # type: ignore[untyped-decorator]
def _lowest(_: Any, bits: Any) -> Any:
    """The place of the lowest 1 in a uint64 that is not 0."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(bits), generate


@_compiled
def _mix(value: np.uint64) -> np.uint64:
    value += BASE
    value = (value ^ (value >> np.uint64(30))) * MIX_1
    value = (value ^ (value >> np.uint64(27))) * MIX_2
    return value ^ (value >> np.uint64(31))


@_compiled
def _word_hashes(
    points: NDArray[np.uint32], mixed: _Hashes, is_word: NDArray[np.bool_], low: int, high: int, hashes: _Hashes
) -> int:
    """The hashes of the word n-grams of a text between two spaces, into ``hashes``; how many."""
    single = np.empty(len(points) // 2, np.uint64)
    words = place = 0
    while place < len(points):
        start = place
        value, power = np.uint64(0), np.uint64(1)
        while is_word[points[place]]:  # the last point is a space
            value += mixed[place] * power
            power *= BASE
            place += 1
        if place - start >= 2:
            single[words] = _mix(value)
            words += 1
        place += 1
    found = 0
    for first in range(words):
        value = np.uint64(0)
        for n in range(1, min(high, words - first) + 1):
            value = value * BASE + single[first + n - 1]
            if n >= low:
                hashes[found] = _mix(value ^ (np.uint64(n) << np.uint64(32)))
                found += 1
    return found


@_compiled
def _character_hashes(
    points: NDArray[np.uint32], mixed: _Hashes, low: int, high: int, rooms: tuple[_Hashes, _Hashes], hashes: _Hashes
) -> int:
    """The hashes of the character n-grams of a text between two spaces, into ``hashes``; how many."""
    rolling, whole = rooms
    size = len(points)
    ends = np.empty(size, np.int32)  # how far the next space is
    space = size
    for place in range(size - 1, -1, -1):
        ends[place] = space - place
        if points[place] == SPACE:
            space = place
    rolling[:size] = mixed[:size]
    found = 0
    for n in range(2, min(high, size) + 1):
        for place in range(size - n + 1):  # a loop of vector instructions; the next one picks
            value = rolling[place] * BASE + mixed[place + n - 1]
            rolling[place] = value
            whole[place] = _mix(value + np.uint64(n))
        if n < low:
            continue
        for place in range(size - n + 1):
            hashes[found] = whole[place]
            if n == 2:
                found += (points[place] != SPACE) | (points[place + 1] != SPACE)
            else:
                found += ends[place] >= n - 1
    return found


@_compiled
def _keys(hashes: _Hashes, count: int, table: Table, found: _Hashes) -> int:
    """The places among the keys of those of the first ``count`` hashes that are keys, into ``found``; how many."""
    keys = table.keys
    known = 0
    for at in range(count):
        wanted = hashes[at]
        key = np.uint64(table.starts[wanted >> table.shift])
        key += np.uint64(keys[key] < wanted) + np.uint64(keys[key + _ONE] < wanted)  # no branch to mispredict
        while keys[key] < wanted:
            key += _ONE
        found[known] = key
        known += keys[key] == wanted
    return known


@_compiled
def _count(found: _Hashes, known: int, scratch: Scratch) -> int:
    """Count the first ``known`` keys, and put each once, in rising order, in their place; how many."""
    counts, marks, groups = scratch
    for at in range(known):
        key = found[at]
        mark = key >> _SIX
        counts[key] += 1
        marks[mark] |= _ONE << (key & _63)
        groups[mark >> _SIX] |= _ONE << (mark & _63)
    distinct = 0
    for group in range(len(groups)):
        some = groups[group]
        groups[group] = 0
        while some:
            mark = (np.uint64(group) << _SIX) + _lowest(some)
            some &= some - _ONE
            bits = marks[mark]
            marks[mark] = 0
            while bits:
                found[distinct] = (mark << _SIX) + _lowest(bits)
                distinct += 1
                bits &= bits - _ONE
    return distinct


@_compiled
def _sum(
    hashes: _Hashes, count: int, table: Table, scratch: Scratch, frequency: NDArray[np.float64], found: _Hashes,
    values: NDArray[np.float64],
) -> float:  # fmt: skip
    """What the n-grams of one block add to the logit: weight x TF-IDF of Euclidean length 1."""
    counts, pairs = scratch.counts, table.pairs
    distinct = _count(found, _keys(hashes, count, table, found), scratch)
    squares = 0.0
    for at in range(distinct):
        key = found[at]
        value = frequency[counts[key]] * pairs[key, 0]
        counts[key] = 0
        values[at] = value
        squares += value * value
    if squares == 0.0:
        return 0.0
    length = np.sqrt(squares)
    for at in range(distinct):
        values[at] /= length  # by itself: several at a time
    total = 0.0
    for at in range(distinct):
        total += values[at] * pairs[found[at], 1]
    return total


@_compiled
def logits(
    points: NDArray[np.uint32], lengths: NDArray[np.int64], is_word: NDArray[np.bool_], words: Table, characters: Table,
    word_scratch: Scratch, character_scratch: Scratch, frequency: NDArray[np.float64], intercept: float,
) -> NDArray[np.float64]:  # fmt: skip
    """The logit of each text, (n_texts,). ``points`` and ``lengths``: see text.hashing.CodePoints; ``is_word``: of each
    code point; ``frequency``: what each count from 0 up to the longest length plus 2 weighs."""
    size = lengths.max() + 2
    mixed = np.empty(size, np.uint64)
    rooms = np.empty(size, np.uint64), np.empty(size, np.uint64)
    hashes = np.empty(size * max(words.high, characters.high), np.uint64)
    keys, values = np.empty_like(hashes), np.empty(len(hashes))
    result = np.empty(len(lengths))
    start = 0
    for text in range(len(lengths)):
        size = lengths[text] + 2
        own = points[start : start + size]
        start += size - 1
        for place in range(size):
            mixed[place] = _mix(np.uint64(own[place]))
        logit = intercept
        found = _word_hashes(own, mixed, is_word, words.low, words.high, hashes)
        logit += _sum(hashes, found, words, word_scratch, frequency, keys, values)
        found = _character_hashes(own, mixed, characters.low, characters.high, rooms, hashes)
        logit += _sum(hashes, found, characters, character_scratch, frequency, keys, values)
        result[text] = logit
    return result
