"""Smaller parts of a post than sentences: units (words, or single characters where words are not spaced), and pieces.

Offsets count code points of the text as it was written, as in ``text.sentences``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import regex

from polyvigil.text.sentences import Stretch, sentences

WORDS_OF_A_PIECE = 6

_UNSPACED = (
    r"\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u30fc\uff70"
    r"\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}"
)
_UNIT = regex.compile(
    rf"[[\p{{L}}\p{{N}}_]--[{_UNSPACED}]][[\w\p{{N}}\p{{M}}\u00ad\u200c\u200d]--[[{_UNSPACED}]--\p{{M}}]]*+"
    rf"|[[{_UNSPACED}]--\p{{M}}][\p{{M}}\uff9e\uff9f]*+"
    r"|\p{Extended_Pictographic}[\p{M}\p{Emoji_Modifier}\u200d\p{Extended_Pictographic}]*+",
    regex.V1,
)
_CLAUSE_END = regex.compile(r"(?<![,;:–—-])[,;:–—-]++(?=\s)|[、，；：،؛]++|[\n\r]++")


def units(text: str) -> Iterator[Stretch]:
    """Words of spaced scripts, single characters of unspaced ones (Han, kana, Thai), and emoji; in order.

    Combining marks and joiners belong to the letter before them. Time is linear in the text.
    """
    for match in _UNIT.finditer(text):
        yield Stretch(*match.span())


def pieces(text: str, *, most: int) -> list[Stretch]:
    """The text in at most ``most`` parts that cover it wholly, in order: sentences; of a single sentence its clauses,
    and of a long clause runs of about 6 units. Where there are more, neighbours are joined evenly."""
    found = sentences(text)
    if len(found) < 2:
        found = _runs(text)
    return found if len(found) <= most else _joined(found, most)


def _runs(text: str) -> list[Stretch]:
    """A sentence cut at the ends of its clauses, and inside long ones before every sixth unit or so."""
    ends = iter([match.end() for match in _CLAUSE_END.finditer(text)])
    clauses: list[list[Stretch]] = [[]]
    end = next(ends, len(text))
    for unit in units(text):
        while unit.start >= end:
            end = next(ends, len(text))
            clauses.append([])
        clauses[-1].append(unit)
    starts = []
    for clause in filter(None, clauses):
        parts = -(-len(clause) // WORDS_OF_A_PIECE)
        starts += [clause[len(clause) * part // parts].start for part in range(parts)]
    edges = [0, *starts[1:], len(text)] if text else [0]
    return [Stretch(start, end) for start, end in pairwise(edges)]


def _joined(parts: Sequence[Stretch], most: int) -> list[Stretch]:
    edges = [len(parts) * place // most for place in range(most + 1)]
    return [Stretch(parts[a].start, parts[b - 1].end) for a, b in pairwise(edges)]
