"""Hashes of words and of character n-grams, computed for many texts at once without a Python loop over characters.

A run of code points has a polynomial hash in mix(c_i), base B, mod 2^64, where ``mix`` is SplitMix64's finaliser
(Steele et al. 2014); a second pass of ``mix`` spreads it. The hash depends on the characters
alone, never on the neighbours, the batch or the process. With 64 bits, a vocabulary of a million n-grams has a
collision with probability 3e-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

HASHING = "poly64-1"  # written into every model that stores hashes; changes when one hash changes

BASE = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
SKIPPED = np.uint64(64)
"""In place of n in the hash of two words with others between them; how many others is not in it."""
_INVERSE = np.uint64(pow(int(BASE), -1, 2**64))
SPACE = ord(" ")
_CHANGES_LENGTH = np.uint32(2**32 - 1)


@dataclass(frozen=True, slots=True)
class Grams:
    """n-grams of several texts: ``hashes`` uint64 (n_grams,) and ``rows`` int32 (n_grams,), the text each is from."""

    hashes: NDArray[np.uint64]
    rows: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class NgramSpans:
    """Where n-grams stand among the ``Characters``: [start, end), int64 (n_grams,) each, padding spaces included."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Characters:
    """Lower-cased texts laid end to end, one space before, between and after them.

    ``mixed`` uint64 (n,): the mixed code points; ``space``, ``word`` bool (n,); ``rows`` int32 (n,): the text each
    character belongs to (a space belongs to the text after it).
    """

    mixed: NDArray[np.uint64]
    space: NDArray[np.bool_]
    word: NDArray[np.bool_]
    rows: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class CodePoints:
    """Lower-cased texts laid end to end, one space before, between and after them: ``points`` uint32 (n,), and of each
    text the ``lengths`` int64 (n_texts,) in lower case, spaces apart."""

    points: NDArray[np.uint32]
    lengths: NDArray[np.int64]


def code_points(texts: Sequence[str]) -> CodePoints:
    """The code points of normalised texts (white space collapsed, see text.normalise) in lower case."""
    points = _lower_case().take(_points(texts))
    if (points == _CHANGES_LENGTH).any():
        texts = [text.lower() for text in texts]
        points = _points(texts)
    return CodePoints(points, np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))


def _points(texts: Sequence[str]) -> NDArray[np.uint32]:
    return np.frombuffer(" ".join(["", *texts, ""]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def lay_out(texts: Sequence[str]) -> Characters:
    """The characters of normalised texts for both kinds of n-gram."""
    codes = code_points(texts)
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), codes.lengths + 1)
    return Characters(
        mixed=_mix(codes.points.astype(np.uint64)),
        space=codes.points == SPACE,
        word=word_characters()[codes.points],
        rows=np.append(rows, np.int32(max(len(texts) - 1, 0))),
    )


def character_ngrams(characters: Characters, *, low: int, high: int) -> Grams:
    """All n-grams of ``low`` to ``high`` characters inside words padded with one space on each side.

    The same n-grams, each as often, as scikit-learn's ``analyzer="char_wb"``; ``low`` is at least 2. Order: by n, then
    by place.
    """
    mixed, rows = characters.mixed, characters.rows
    hashes, owners = [], []
    hash_n, held = mixed, 1
    for n, starts in _character_starts(characters, low=low, high=high):
        for size in range(held + 1, n + 1):
            hash_n = hash_n[: len(mixed) - size + 1] * BASE + mixed[size - 1 :]
        held = n
        hashes.append(_mix(hash_n[starts] + np.uint64(n)))
        owners.append(rows[starts])
    return _concatenated(hashes, owners)


def character_spans(characters: Characters, *, low: int, high: int) -> NgramSpans:
    """Where the n-grams of ``character_ngrams`` stand, in its order."""
    starts_by_n = list(_character_starts(characters, low=low, high=high))
    return _concatenated_spans([starts for _, starts in starts_by_n], [starts + n for n, starts in starts_by_n])


def _character_starts(characters: Characters, *, low: int, high: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each n the places where n-grams begin."""
    space, size = characters.space, len(characters.space)
    inner = np.zeros(size, dtype=bool)  # inner[i]: a space strictly inside the n-gram that starts at i
    for n in range(2, min(high, size) + 1):
        count = size - n + 1
        inner = inner[:count] | space[n - 2 : n - 2 + count] if n > 2 else inner[:count]
        if n >= low:
            between_posts = space[:count] & space[1:] if n == 2 else inner
            yield n, np.flatnonzero(~between_posts)


def word_ngrams(characters: Characters, *, low: int, high: int, skipped: int = 0) -> Grams:
    """All n-grams of ``low`` to ``high`` words; a word is a run of two or more letters, digits or underscores.

    The same n-grams, each as often, as scikit-learn's default token pattern with ``ngram_range=(low, high)``. After
    them the pairs of words of one text with 1 to ``skipped`` words between them (skip-grams, Guthrie et al. 2006).
    """
    starts, ends = _words(characters)
    rows = characters.rows[starts]
    single = _mix(_run_hashes(characters.mixed, starts, ends))
    hashes, owners = [], []
    hash_n = single
    for n in range(1, min(high, len(single)) + 1):
        count = len(single) - n + 1
        if n > 1:
            hash_n = hash_n[:count] * BASE + single[n - 1 :]
        if n >= low:
            inside = np.flatnonzero(rows[:count] == rows[n - 1 :])
            hashes.append(_mix(hash_n[inside] ^ np.uint64(n << 32)))
            owners.append(rows[inside])
    for first, second in _skipping(rows, skipped):
        hashes.append(_mix((single[first] * BASE + single[second]) ^ (SKIPPED << np.uint64(32))))
        owners.append(rows[first])
    return _concatenated(hashes, owners)


def _skipping(rows: NDArray[np.int32], skipped: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The first and the second words of the pairs with 1, 2, ... ``skipped`` words between; ``rows``: of each word."""
    for between in range(2, min(skipped + 2, len(rows))):
        first = np.flatnonzero(rows[:-between] == rows[between:])
        yield first, first + between


def word_spans(characters: Characters, *, low: int, high: int, skipped: int = 0) -> NgramSpans:
    """Where the n-grams of ``word_ngrams`` stand, in its order: from the first word's start to the last word's end."""
    starts, ends = _words(characters)
    rows = characters.rows[starts]
    sizes = range(low, min(high, len(rows)) + 1)
    inside = {n: np.flatnonzero(rows[: len(rows) - n + 1] == rows[n - 1 :]) for n in sizes}
    pairs = [(starts[first], ends[second]) for first, second in _skipping(rows, skipped)]
    return _concatenated_spans(
        [*(starts[at] for at in inside.values()), *(start for start, _ in pairs)],
        [*(ends[at + n - 1] for n, at in inside.items()), *(end for _, end in pairs)],
    )


def _words(characters: Characters) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where words of two or more characters start and end."""
    edges = np.flatnonzero(np.diff(characters.word.astype(np.int8)))  # spaces stand at both ends: edges come in pairs
    starts, ends = edges[::2] + 1, edges[1::2] + 1
    long_enough = ends - starts >= 2
    return starts[long_enough], ends[long_enough]


def _run_hashes(mixed: NDArray[np.uint64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Polynomial hash of each run [start, end): a difference of prefix sums, divided by its place's power of B."""
    size = 1 << max(len(mixed).bit_length(), 16)
    powers, inverses = _powers(size)
    prefix = np.zeros(len(mixed) + 1, dtype=np.uint64)
    np.cumsum(mixed * powers[: len(mixed)], out=prefix[1:])
    return (prefix[ends] - prefix[starts]) * inverses[starts]


def _concatenated(hashes: list[NDArray[np.uint64]], owners: list[NDArray[np.int32]]) -> Grams:
    if not hashes:
        return Grams(np.empty(0, np.uint64), np.empty(0, np.int32))
    return Grams(np.concatenate(hashes), np.concatenate(owners))


def _concatenated_spans(starts: list[NDArray[np.int64]], ends: list[NDArray[np.int64]]) -> NgramSpans:
    if not starts:
        return NgramSpans(np.empty(0, np.int64), np.empty(0, np.int64))
    return NgramSpans(np.concatenate(starts), np.concatenate(ends))


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + BASE
    value = (value ^ (value >> np.uint64(30))) * MIX_1
    value = (value ^ (value >> np.uint64(27))) * MIX_2
    return value ^ (value >> np.uint64(31))


@cache
def _powers(size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """B^i and B^-i mod 2^64 for i in 0 ... size-1."""
    up, down = np.full(size, BASE), np.full(size, _INVERSE)
    up[0] = down[0] = 1
    return np.cumprod(up), np.cumprod(down)


@cache
def word_characters() -> NDArray[np.bool_]:
    """Whether each of the 0x110000 code points is a word character to Python's ``re``."""
    table = np.zeros(0x110000, dtype=bool)
    for match in re.finditer(r"\w+", "".join(map(chr, range(0x110000)))):
        table[match.start() : match.end()] = True
    return table


@cache
def _lower_case() -> NDArray[np.uint32]:
    """Each of the 0x110000 code points in lower case; _ASKS for ``Σ``, which hangs on its neighbours, and for ``İ``,
    which becomes two. Planes after the first two have no case."""
    cased = "".join(map(chr, range(0x20000))).replace("Σ", "\0").replace("İ", "\0").lower()
    table = np.arange(0x110000, dtype=np.uint32)
    table[:0x20000] = np.frombuffer(cased.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    table[[ord("Σ"), ord("İ")]] = _CHANGES_LENGTH
    return table
