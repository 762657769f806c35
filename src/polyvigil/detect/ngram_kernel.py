"""Logits of hashed n-grams, compiled: what numpy computes in ``detect.linear``, bit for bit, one post at a time.

The hashes are those of text.hashing. A post's n-grams are looked up in a table that keeps the order of the hashes, and
counted beside it; a bit for each slot in use leads through them in that order, so that every sum runs as numpy's does.
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
    points: NDArray[np.uint32], mixed: _Hashes, low: int, high: int, rolling: _Hashes, hashes: _Hashes
) -> int:
    """The hashes of the character n-grams of a text between two spaces, into ``hashes``; how many."""
    size = len(points)
    room = np.empty(size, np.int64)  # how far the next space is
    space = size
    for place in range(size - 1, -1, -1):
        room[place] = space - place
        if points[place] == SPACE:
            space = place
    rolling[:size] = mixed[:size]
    found = 0
    for n in range(2, min(high, size) + 1):
        for place in range(size - n + 1):
            rolling[place] = rolling[place] * BASE + mixed[place + n - 1]
        if n < low:
            continue
        for place in range(size - n + 1):
            hashes[found] = _mix(rolling[place] + np.uint64(n))
            if n == 2:
                found += points[place] != SPACE or points[place + 1] != SPACE
            else:
                found += room[place] >= n - 1
    return found


@_compiled
def _slots(hashes: _Hashes, count: int, keys: _Hashes, shift: np.uint64, slots: _Hashes) -> int:
    """The slots of those of the first ``count`` hashes that are in the table, into ``slots``; how many."""
    found = 0
    for at in range(count):
        wanted = hashes[at]
        slot = wanted >> shift
        slot += np.uint64(keys[slot] < wanted) + np.uint64(keys[slot + _ONE] < wanted)  # no branch to mispredict
        while keys[slot] < wanted:
            slot += _ONE
        slots[found] = slot
        found += keys[slot] == wanted
    return found


@_compiled
def _count(slots: _Hashes, found: int, scratch: Scratch) -> int:
    """Count the slots, and put each once, in rising order, in their place; how many."""
    counts, marks, groups = scratch
    for at in range(found):
        slot = slots[at]
        mark = slot >> _SIX
        counts[slot] += 1
        marks[mark] |= _ONE << (slot & _63)
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
                slots[distinct] = (mark << _SIX) + _lowest(bits)
                distinct += 1
                bits &= bits - _ONE
    return distinct


@_compiled
def _sum(
    hashes: _Hashes, count: int, table: Table, scratch: Scratch, frequency: NDArray[np.float64], slots: _Hashes,
    values: NDArray[np.float64],
) -> float:  # fmt: skip
    """What the n-grams of one block add to the logit: weight x TF-IDF of Euclidean length 1."""
    counts, pairs = scratch.counts, table.pairs
    distinct = _count(slots, _slots(hashes, count, table.keys, table.shift, slots), scratch)
    squares = 0.0
    for at in range(distinct):
        slot = slots[at]
        value = frequency[counts[slot]] * pairs[slot, 0]
        counts[slot] = 0
        values[at] = value
        squares += value * value
    if squares == 0.0:
        return 0.0
    length = np.sqrt(squares)
    for at in range(distinct):
        values[at] = values[at] / length * pairs[slots[at], 1]
    total = 0.0
    for at in range(distinct):
        total += values[at]
    return total


@_compiled
def logits(
    points: NDArray[np.uint32], lengths: NDArray[np.int64], is_word: NDArray[np.bool_], words: Table, characters: Table,
    word_scratch: Scratch, character_scratch: Scratch, frequency: NDArray[np.float64], intercept: float,
) -> NDArray[np.float64]:  # fmt: skip
    """The logit of each text, (n_texts,). ``points`` and ``lengths``: see text.hashing.CodePoints; ``is_word``: of each
    code point; ``frequency``: what each count from 0 up to the longest length plus 2 weighs."""
    size = lengths.max() + 2
    mixed, rolling = np.empty(size, np.uint64), np.empty(size, np.uint64)
    hashes = np.empty(size * max(words.high, characters.high), np.uint64)
    slots, values = np.empty_like(hashes), np.empty(len(hashes))
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
        logit += _sum(hashes, found, words, word_scratch, frequency, slots, values)
        found = _character_hashes(own, mixed, characters.low, characters.high, rolling, hashes)
        logit += _sum(hashes, found, characters, character_scratch, frequency, slots, values)
        result[text] = logit
    return result
