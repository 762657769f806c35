"""The writing system of a post, by the letters it holds; and the letters of a script, for making texts in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice

import numpy as np
import regex
from numpy.typing import NDArray

SCRIPTS = {
    "Latin": regex.compile(r"\p{Script=Latin}"),
    "Cyrillic": regex.compile(r"\p{Script=Cyrillic}"),
    "Arabic": regex.compile(r"\p{Script=Arabic}"),
    "Japanese": regex.compile(r"[\p{Script=Hiragana}\p{Script=Katakana}]"),
    "Han": regex.compile(r"\p{Script=Han}"),
    "Hangul": regex.compile(r"\p{Script=Hangul}"),
    "Greek": regex.compile(r"\p{Script=Greek}"),
    "Hebrew": regex.compile(r"\p{Script=Hebrew}"),
    "Devanagari": regex.compile(r"\p{Script=Devanagari}"),
    "Thai": regex.compile(r"\p{Script=Thai}"),
}
"""The scripts that are distinguished, each with the pattern of one of its letters."""
_LETTER = regex.compile(r"\p{L}")
_LOOKED_AT = 2000  # characters of a text
_BATCH = 1000  # texts


def main_script(text: str) -> str:
    """The script most letters of ``text`` belong to, by its Unicode name; ``Japanese`` as soon as kana stand among Han
    letters; ``other`` for a script not listed here, ``none`` without letters. Looks at the first 2,000 characters."""
    text = text[:_LOOKED_AT]
    counts = {name: len(pattern.findall(text)) for name, pattern in SCRIPTS.items()}
    if counts["Japanese"]:
        counts["Japanese"] += counts.pop("Han")
    name = max(counts, key=lambda script: counts[script])
    if counts[name]:
        return name
    return "other" if _LETTER.search(text) else "none"


def main_scripts(texts: Sequence[str]) -> list[str]:
    """``main_script`` of each text: of many at once, a letter takes a look at a table in place of ten patterns."""
    heads = [text[:_LOOKED_AT] for text in texts]
    points = np.frombuffer("".join(heads).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    rows = np.repeat(np.arange(len(heads)), np.fromiter(map(len, heads), dtype=np.int64, count=len(heads)))
    kinds = len(SCRIPTS) + 1
    counts = np.bincount(rows * kinds + _script_codes().take(points), minlength=kinds * len(heads)).reshape(-1, kinds)
    counts = counts[:, :-1]
    names = list(SCRIPTS)
    japanese, han = counts[:, names.index("Japanese")], counts[:, names.index("Han")]
    mixed = japanese > 0
    japanese[mixed] += han[mixed]
    han[mixed] = 0
    return [
        names[best] if number else main_script(text)
        for best, number, text in zip(counts.argmax(axis=1).tolist(), counts.max(axis=1).tolist(), heads, strict=True)
    ]


@cache
def _script_codes() -> NDArray[np.uint8]:
    """The script of each of the 0x110000 code points: its number in ``SCRIPTS``, or ``len(SCRIPTS)``."""
    table = np.full(0x110000, len(SCRIPTS), dtype=np.uint8)
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    for number, pattern in enumerate(SCRIPTS.values()):
        table[[ord(letter) for letter in pattern.findall(every)]] = number
    return table


def common_letters(texts: Iterable[str], script: str, *, most: int) -> list[str]:
    """The letters of a script in lower-cased texts, the most frequent first, of equal ones the first to be met."""
    number, codes = list(SCRIPTS).index(script), _script_codes()
    counts = np.zeros(len(codes), dtype=np.int64)
    first = np.full(len(codes), np.iinfo(np.int64).max)
    remaining, met = iter(texts), 0
    while batch := list(islice(remaining, _BATCH)):
        lowered = "".join(text.lower() for text in batch)
        points = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        points = points[codes.take(points) == number]
        letters, where, times = np.unique(points, return_index=True, return_counts=True)
        counts[letters] += times
        first[letters] = np.minimum(first[letters], met + where)
        met += len(points)
    present = np.flatnonzero(counts)
    order = np.lexsort((first[present], -counts[present]))
    return list(map(chr, present[order[:most]].tolist()))


def letter_share(text: str, pieces: Sequence[tuple[int, int]]) -> float:
    """The share of the letters of ``text`` that stand in a piece of two letters or more, in [0, 1]; 1 without letters.

    ``pieces``: where a tokenizer's known tokens begin and end, in characters. A vocabulary that was not made for a
    writing system spells it letter by letter, or in bytes. A Han letter is a word by itself: one piece of its own is
    enough, several (its bytes) are not.
    """
    letters = np.array([character.isalpha() for character in text], dtype=np.int64)
    if not letters.any():
        return 1.0
    before = np.concatenate([[0], np.cumsum(letters)])
    known = np.zeros(len(text), dtype=np.bool_)
    number = np.zeros(len(text), dtype=np.int64)
    for start, end in pieces:
        number[start:end] += 1
        if before[end] - before[start] >= 2:
            known[start:end] = True
    for index in np.flatnonzero(~known & (letters == 1) & (number == 1)).tolist():
        known[index] = SCRIPTS["Han"].match(text[index]) is not None
    return float(known[letters == 1].mean())


LETTERS = 150
_PLANE = "".join(map(chr, (*range(0x21, 0xD800), *range(0xE000, 0x10000))))
_VAST = 1000  # letters; of such a script (Han, Hangul) every so manieth is taken


@cache
def alphabet(script: str) -> str:
    """Up to 150 letters of a script that text.script distinguishes, lower-case, in the order of Unicode, each NFC.

    The first ones of an alphabet; evenly spaced ones of Han and Hangul. Letters of the basic plane only.
    """
    characters = [
        letter
        for letter in SCRIPTS[script].findall(_PLANE)
        if unicodedata.category(letter) in {"Ll", "Lo"} and unicodedata.normalize("NFC", letter) == letter
    ]
    step = max(1, len(characters) // LETTERS) if len(characters) > _VAST else 1
    return "".join(characters[::step][:LETTERS])
