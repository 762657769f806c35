"""Smaller parts of a post than sentences: units (words, or single characters where words are not spaced), and pieces.

Offsets count code points of the text as it was written, as in ``text.sentences``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import regex

from polyvigil.text.sentences import Span, sentences

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


def units(text: str) -> Iterator[Span]:
    """Words of spaced scripts, single characters of unspaced ones (Han, kana, Thai), and emoji; in order.

    Combining marks and joiners belong to the letter before them. Time is linear in the text.
    """
    for match in _UNIT.finditer(text):
        yield Span(*match.span())


def pieces(text: str, *, most: int) -> list[Span]:
    """The text in at most ``most`` parts that cover it wholly, in order: sentences; of a single sentence its clauses,
    and of a long clause runs of about 6 units. Where there are more, neighbours are joined evenly."""
    spans = sentences(text)
    if len(spans) < 2:
        spans = _runs(text)
    return spans if len(spans) <= most else _merged(spans, most)


def _runs(text: str) -> list[Span]:
    """A sentence cut at the ends of its clauses, and inside long ones before every sixth unit or so."""
    ends = iter([match.end() for match in _CLAUSE_END.finditer(text)])
    clauses: list[list[Span]] = [[]]
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
    return [Span(start, end) for start, end in pairwise(edges)]


def _merged(parts: Sequence[Span], most: int) -> list[Span]:
    edges = [len(parts) * index // most for index in range(most + 1)]
    return [Span(parts[a].start, parts[b - 1].end) for a, b in pairwise(edges)]
