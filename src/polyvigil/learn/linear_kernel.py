"""Compiled loops of fitting the linear detector: posts to rows (learn.linear_rows), then weights (learn.linear_dual).

A row has two halves, its word n-grams and its character n-grams. Half ``2 i`` and half ``2 i + 1`` are those of post i;
``ends`` (2 n_posts,) says where each ends in the entries of a block. An entry is uint32: the column shifted by
``COUNT_BITS``, and how often the n-gram stands in the post; 0 there says that the count is the next entry by itself.
Importing this module imports numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.ngram_kernel import character_hashes, compiled, mix, word_hashes
from polyvigil.text.hashing import BASE

COUNT_BITS = 5
MOST_COLUMNS = 1 << (32 - COUNT_BITS)
_SHIFT = np.uint32(COUNT_BITS)
_MASK = np.uint32((1 << COUNT_BITS) - 1)
_IN_TABLE = 1 << 14  # n-grams of a text that are told apart by a table; those of a longer one are sorted

_Hashes = NDArray[np.uint64]
_Counts = NDArray[np.uint32]
_Entries = NDArray[np.uint32]
_Ends = NDArray[np.int64]
_Floats = NDArray[np.float64]


@compiled
def _distinct(
    hashes: _Hashes, n_hashes: int, keys: _Hashes, stamps: _Counts, positions: NDArray[np.int32], stamp: np.uint32,
    out: _Hashes, counts: _Counts,
) -> int:  # fmt: skip
    """The distinct ones of the first ``n_hashes`` hashes into ``out``, how often each into ``counts``; how many."""
    n_out = 0
    if n_hashes > _IN_TABLE:
        sorted_hashes = hashes[:n_hashes]
        sorted_hashes.sort()
        for at in range(n_hashes):
            if at == 0 or sorted_hashes[at] != sorted_hashes[at - 1]:
                out[n_out] = sorted_hashes[at]
                counts[n_out] = 0
                n_out += 1
            counts[n_out - 1] += 1
        return n_out
    mask = np.uint64(len(keys) - 1)
    for at in range(n_hashes):
        value = hashes[at]
        slot = value & mask
        while stamps[slot] == stamp and keys[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if stamps[slot] != stamp:
            stamps[slot] = stamp
            keys[slot] = value
            positions[slot] = n_out
            out[n_out] = value
            counts[n_out] = 1
            n_out += 1
        else:
            counts[positions[slot]] += 1
    return n_out


@compiled
def distinct_ngrams(
    points: NDArray[np.uint32], lengths: NDArray[np.int64], is_word: NDArray[np.bool_], words: tuple[int, int, int],
    characters: tuple[int, int],
) -> tuple[_Hashes, _Counts, _Ends]:  # fmt: skip
    """The distinct n-grams of each text, half after half: hashes and counts (n,), and the ends of halves (2 n_texts,).

    ``points``, ``lengths``: see text.hashing.CodePoints. ``words``: shortest, longest, and most words skipped.
    """
    longest = lengths.max() + 2
    orders = max(words[1] - words[0] + 1 + words[2], characters[1] - characters[0] + 1)
    mixed, powers = np.empty(longest, np.uint64), np.ones(longest, np.uint64)
    for index in range(1, longest):
        powers[index] = powers[index - 1] * BASE
    rooms = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    hashes = np.empty(longest * orders, np.uint64)
    size = 2
    while size < 2 * min(len(hashes), _IN_TABLE):
        size *= 2
    keys, stamps, positions = np.empty(size, np.uint64), np.zeros(size, np.uint32), np.empty(size, np.int32)
    room = 0
    for text in range(len(lengths)):
        room += (lengths[text] + 2) * (characters[1] - characters[0] + 1)
        room += (lengths[text] // 2 + 1) * (words[1] - words[0] + 1 + words[2])
    out, counts = np.empty(room, np.uint64), np.empty(room, np.uint32)
    ends = np.empty(2 * len(lengths), np.int64)
    start = n_out = 0
    for text in range(len(lengths)):
        size = lengths[text] + 2
        codes = points[start : start + size]
        start += size - 1
        for index in range(size):
            mixed[index] = mix(np.uint64(codes[index]))
        for half in range(2):
            if half == 0:
                n_hashes = word_hashes(codes, mixed, is_word, powers, words[0], words[1], words[2], hashes)
            else:
                n_hashes = character_hashes(codes, mixed, characters[0], characters[1], rooms, hashes)
            stamp = np.uint32(2 * text + half + 1)
            n_out += _distinct(hashes, n_hashes, keys, stamps, positions, stamp, out[n_out:], counts[n_out:])
            ends[2 * text + half] = n_out
    return out[:n_out], counts[:n_out], ends


@compiled
def add_to_sketch(counters: NDArray[np.uint8], shift: np.uint64, hashes: _Hashes) -> None:
    """Count each hash in the counter of its top bits; a counter stays at 255."""
    for at in range(len(hashes)):
        counter = hashes[at] >> shift
        value = counters[counter]
        counters[counter] = value + np.uint8(value < 255)


class ColumnTable(NamedTuple):
    """The columns so far. ``keys`` uint64 and ``ids`` int32 (2^k,): a hash table; ids of free slots are -1. Of each
    column: ``hashes`` uint64, ``n_posts`` uint32, ``is_words`` bool (n,), and ``masses`` float64 (n, 2), the weights of
    the negative and of the positive posts it stands in."""

    keys: NDArray[np.uint64]
    ids: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    n_posts: NDArray[np.uint32]
    is_words: NDArray[np.bool_]
    masses: NDArray[np.float64]


class Sketch(NamedTuple):
    """``counters`` uint8 (2^b,) of the posts with an n-gram whose hash has these top b bits; ``shift`` = 64 - b;
    ``least``: an n-gram whose counter says fewer posts gets no column."""

    counters: NDArray[np.uint8]
    shift: np.uint64
    least: int


@compiled
def _slot(keys: _Hashes, ids: NDArray[np.int32], value: np.uint64) -> np.uint64:
    """Where ``value`` stands in the table of columns, or the free slot where it would."""
    mask = np.uint64(len(keys) - 1)
    slot = mix(value) & mask
    while ids[slot] >= 0 and keys[slot] != value:
        slot = (slot + np.uint64(1)) & mask
    return slot


@compiled
def rehash(keys: _Hashes, ids: NDArray[np.int32], hashes: _Hashes, n_columns: int) -> None:
    """Put the first columns into an empty table."""
    for column in range(n_columns):
        slot = _slot(keys, ids, hashes[column])
        ids[slot], keys[slot] = column, hashes[column]


@compiled
def to_entries(
    hashes: _Hashes, counts: _Counts, ends: _Ends, first_half: int, sketch: Sketch, table: ColumnTable, n_columns: int,
    labels: NDArray[np.int8], weights: _Floats, entries: _Entries, n_entries: int, entry_ends: _Ends, hapaxes: _Floats,
    frequency: _Floats, sublinear: bool,
) -> tuple[int, int, int]:  # fmt: skip
    """The n-grams of a batch of posts to entries, with a new column for each that is new.

    Begins at ``first_half``, with ``n_entries`` there; stops before a half whose columns might not fit in the table.
    Returns where it stopped, and how many columns and entries there are. n-grams that the sketch says stand in
    one post alone are no entries: the squares of their frequencies are added up in ``hapaxes`` (2 n_posts,).
    """
    start = ends[first_half - 1] if first_half > 0 else 0
    for half in range(first_half, len(ends)):
        size = ends[half] - start
        if n_columns + size > len(table.hashes):
            return half, n_columns, n_entries
        post = half >> 1
        rare = 0.0
        for at in range(start, ends[half]):
            value, count = hashes[at], counts[at]
            seen = sketch.counters[value >> sketch.shift]
            if seen < sketch.least:
                if seen == 1:
                    rare += _frequency(count, frequency, sublinear) ** 2
                continue
            slot = _slot(table.keys, table.ids, value)
            column = table.ids[slot]
            if column < 0:
                column = n_columns
                n_columns += 1
                table.ids[slot], table.keys[slot] = column, value
                table.hashes[column], table.is_words[column] = value, (half & 1) == 0
            table.n_posts[column] += 1
            table.masses[column, labels[post]] += weights[post]
            entries[n_entries] = np.uint32(column) << _SHIFT
            if count <= _MASK:
                entries[n_entries] |= count
            else:
                n_entries += 1
                entries[n_entries] = count
            n_entries += 1
        hapaxes[half] = rare
        start = ends[half]
        entry_ends[half] = n_entries
    return len(ends), n_columns, n_entries


@compiled
def _frequency(count: np.uint32, frequency: _Floats, sublinear: bool) -> float:
    """What a count weighs; ``frequency`` holds that of the counts below its length."""
    if count < len(frequency):
        return float(frequency[count])
    return 1.0 + math.log(float(count)) if sublinear else float(count)


@compiled
def renumber(
    entries: _Entries, ends: _Ends, new_ids: NDArray[np.int32], hapaxes: _Floats, frequency: _Floats, sublinear: bool
) -> int:
    """Give the entries of a block their final columns, in place, and leave out those without one; how many stay.

    ``new_ids``: of each column, -1 for one left out, -2 for one that stands in one post alone, which ``hapaxes`` takes.
    """
    n_kept = start = 0
    for half in range(len(ends)):
        end = ends[half]
        at = start
        while at < end:
            column, count = new_ids[entries[at] >> _SHIFT], entries[at] & _MASK
            long = count == 0
            if long:
                at += 1
                count = entries[at]
            at += 1
            if column >= 0:
                entries[n_kept] = np.uint32(column) << _SHIFT
                n_kept += 1
                if long:
                    entries[n_kept] = count
                    n_kept += 1
                else:
                    entries[n_kept - 1] |= count
            elif column == -2:
                hapaxes[half] += _frequency(count, frequency, sublinear) ** 2
        start = end
        ends[half] = n_kept
    return n_kept


@compiled
def norms(
    entries: _Entries, ends: _Ends, idf: _Floats, scale: _Floats, hapaxes: _Floats, hapax_idf: float,
    hapax_scale: _Floats, frequency: _Floats, sublinear: bool, inverse: _Floats, alone: _Floats, diagonal: _Floats,
) -> None:  # fmt: skip
    """Of each half, (2 n_posts,): 1 / its length, the part of its squared norm that its hapaxes hold, and all of it.

    The length is that of TF-IDF; the norm that of the features the solver sees, TF-IDF times ``scale``, so that a half
    without a scale has norm 1. ``hapax_scale`` (n_posts,): the scale of an n-gram that stands in that post alone.
    """
    start = 0
    for half in range(len(ends)):
        squares = scaled = 0.0
        at = start
        while at < ends[half]:
            column, count = entries[at] >> _SHIFT, entries[at] & _MASK
            if count == 0:
                at += 1
                count = entries[at]
            at += 1
            value = _frequency(count, frequency, sublinear) * idf[column]
            squares += value * value
            scaled += value * value * scale[column] * scale[column]
        rare = hapaxes[half] * hapax_idf * hapax_idf
        squares += rare
        rare *= hapax_scale[half >> 1] * hapax_scale[half >> 1]
        inverse[half] = 1.0 / math.sqrt(squares) if squares > 0.0 else 0.0
        alone[half] = rare / squares if squares > 0.0 else 0.0
        diagonal[half] = (scaled + rare) / squares if squares > 0.0 else 0.0
        start = ends[half]


@compiled
def _dot(
    entries: _Entries, start: int, end: int, state: _Floats, domain: int, likeness: float, frequency: _Floats,
    sublinear: bool,
) -> float:  # fmt: skip
    """Sum over the entries of frequency x (this domain + likeness x the other) of their columns."""
    total = 0.0
    two_domains = state.shape[1] == 3
    at = start
    while at < end:
        column, count = entries[at] >> _SHIFT, entries[at] & _MASK
        if count == 0:
            at += 1
            value = _frequency(entries[at], frequency, sublinear)
        else:
            value = frequency[count]
        at += 1
        if two_domains:
            total += value * (state[column, 1 + domain] + likeness * state[column, 2 - domain])
        else:
            total += value * state[column, 1]
    return total


@compiled
def _add(
    entries: _Entries, start: int, end: int, state: _Floats, domain: int, factor: float, frequency: _Floats,
    sublinear: bool,
) -> None:  # fmt: skip
    """Add factor x frequency x squared scale to what the entries' columns hold for this domain."""
    at = start
    while at < end:
        column, count = entries[at] >> _SHIFT, entries[at] & _MASK
        if count == 0:
            at += 1
            value = _frequency(entries[at], frequency, sublinear)
        else:
            value = frequency[count]
        at += 1
        state[column, 1 + domain] += factor * value * state[column, 0]


@compiled
def _optimum(old: float, most: float, margin: float, curvature: float) -> float:
    """The z in (0, most) where curvature (z - old) + margin + log(z / (most - z)) is 0: Newton steps kept inside."""
    z = old if old > 0.0 else 1e-3 * most
    for _ in range(50):
        gradient = curvature * (z - old) + margin + math.log(z / (most - z))
        if abs(gradient) < 1e-9:
            break
        step = z - gradient / (curvature + most / (z * (most - z)))
        if step <= 0.0:
            z *= 0.1
        elif step >= most:
            z = most - (most - z) * 0.1
        else:
            z = step
    return z


@compiled
def descend(
    entries: _Entries, ends: _Ends, order: NDArray[np.int64], signs: _Floats, most: _Floats, domains: NDArray[np.uint8],
    likeness: float, dual: _Floats, state: _Floats, inverse: _Floats, alone: _Floats, diagonal: _Floats,
    bias: _Floats, frequency: _Floats, sublinear: bool, steps: _Floats, least_step: float,
) -> float:  # fmt: skip
    """Dual coordinate descent over the posts of a block in ``order``; the sum of the steps, each as a share of C.

    Minimises |w|^2 / 2 + sum of C_i log(1 + exp(-y_i w.x_i)) by its dual, alpha_i in (0, C_i) (Yu, Huang and Lin 2011,
    algorithm 5). ``signs`` y, ``most`` C, ``dual`` alpha, ``domains`` 0 or 1: (n_posts,) of the block. ``state``
    (n_columns, 2 or 3): idf^2 x scale^2, and idf x weight of the posts of each domain. A hapax is no column: only its
    own post moves its weight, so it stands in the margin and the curvature of that post. ``steps`` (n_posts,): how far
    each moved when it was last looked at; those that moved less than ``least_step`` are passed over.
    """
    moved = 0.0
    for rank in range(len(order)):
        post = order[rank]
        if steps[post] < least_step:
            continue
        first = ends[2 * post - 1] if post > 0 else 0
        middle, last = ends[2 * post], ends[2 * post + 1]
        domain = domains[post]
        words = _dot(entries, first, middle, state, domain, likeness, frequency, sublinear) * inverse[2 * post]
        characters = _dot(entries, middle, last, state, domain, likeness, frequency, sublinear) * inverse[2 * post + 1]
        old = dual[post]
        margin = signs[post] * (words + characters + bias[0]) + old * (alone[2 * post] + alone[2 * post + 1])
        curvature = 1.0 + diagonal[2 * post] + diagonal[2 * post + 1]  # 1: the intercept's feature
        step = _optimum(old, most[post], margin, curvature) - old
        steps[post] = abs(step) / most[post]
        if step != 0.0:
            dual[post] = old + step
            moved += abs(step) / most[post]
            factor = step * signs[post]
            _add(entries, first, middle, state, domain, factor * inverse[2 * post], frequency, sublinear)
            _add(entries, middle, last, state, domain, factor * inverse[2 * post + 1], frequency, sublinear)
            bias[0] += factor
    return moved


@compiled
def hapax_weights(
    hashes: _Hashes, counts: _Counts, ends: _Ends, sketch: Sketch, keys: _Hashes, ids: NDArray[np.int32],
    new_ids: NDArray[np.int32], factors: _Floats, frequency: _Floats, sublinear: bool, smallest: float, out: _Hashes,
    weights: NDArray[np.float32], is_words: NDArray[np.bool_],
) -> int:  # fmt: skip
    """The n-grams of a batch that stand in one post alone; their weights, factor of the half x frequency; how many.

    Weights whose size is below ``smallest`` are left out.
    """
    n_out = start = 0
    for half in range(len(ends)):
        for at in range(start, ends[half]):
            seen = sketch.counters[hashes[at] >> sketch.shift]
            if seen >= sketch.least:
                column = ids[_slot(keys, ids, hashes[at])]
                if column < 0 or new_ids[column] != -2:
                    continue
            elif seen != 1:
                continue
            weight = factors[half] * _frequency(counts[at], frequency, sublinear)
            if abs(weight) < smallest:
                continue
            out[n_out], weights[n_out], is_words[n_out] = hashes[at], weight, (half & 1) == 0
            n_out += 1
        start = ends[half]
    return n_out
