"""A post as spans: sentences, and the smaller units (words or characters, clauses) inside them.

In: a text. Out: `Span`s, offsets in characters, in order, that never overlap; joined with what lies between them they
are the text again. Unicode's sentence rules, plus the ends that posts have instead of a full stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex


class Span(NamedTuple):
    """``text[start:end]``; never empty."""

    start: int
    end: int


_UNSEEN = r"[\p{M}\u200c-\u200f\u202a-\u202e\u2066-\u2069\ufeff]"  # may stand between a full stop and what follows it
_CLOSING = r"""["'”’»›)\]}」』）】〉》〕]"""
_ANY = ".!?…‽。｡！？؟۔।॥"
_END = regex.compile(
    rf"""
      (?P<link>https?://\S++)
    | (?P<sure>[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++
        | (?<![{_ANY}])(?>[.!?…‽]*[。｡！？؟۔।॥][{_ANY}]*{_UNSEEN}*)(?!{_CLOSING})
        | (?<![{_ANY}])(?!\.[^{_ANY}])(?>[{_ANY}]+{_UNSEEN}*)(?=[\p{{Han}}\p{{Hiragana}}\p{{Katakana}}]))
    | (?<![{_ANY}])(?P<stops>[{_ANY}]++) (?:{_CLOSING}|{_UNSEEN})*+ (?=\s|\Z)
    """,
    regex.VERBOSE,
)
_SPACE = regex.compile(r"(?:\s\p{M}*+)*+")  # marks may stand on a space, too
_WORD = regex.compile(r"[\p{L}\p{N}]|\p{Extended_Pictographic}")
_NO_END = regex.compile(  # before a single full stop: an initial, a small number, an abbreviation
    r"""(?<!\w)(?:\p{L}|\d{1,2}|
    (?:dr|prof|mr|mrs|ms|st|vs|approx|ca|bzw|evtl|ggf|inkl|nr|bspw|mme|mlle|env|ул|им|см|напр|т\.е|z\.b|e\.g|i\.e))$""",
    regex.VERBOSE | regex.IGNORECASE,
)
_LOOK_BACK = 8  # characters: more than the longest abbreviation and what stands before it


def sentences(text: str) -> list[Span]:
    """The sentences of a text, in order: they cover it wholly, and each begins where the one before ends.

    White space belongs to the sentence before it. Each sentence holds a letter, a digit or an emoji, unless the text
    holds none. None is broken inside a link, a number, or before a combining mark. An empty text has no sentences.
    Time is linear in the text.
    """
    spans: list[Span] = []
    start = looked = 0  # where the sentence begins; up to where it is known to hold no word
    for match in _END.finditer(text):
        if match.end() <= looked or not _ends(text, match):
            continue
        end = _after_space(text, match.end())
        if _WORD.search(text, looked, end):
            spans.append(Span(start, end))
            start = end
        looked = end
    if start < len(text):
        if spans and not _WORD.search(text, start):
            start = spans.pop().start
        spans.append(Span(start, len(text)))
    return spans


def _ends(text: str, match: regex.Match[str]) -> bool:
    """Whether a sentence ends with what ``_END`` found."""
    if match.lastgroup == "sure":
        return True
    if match.lastgroup == "link":
        return text[match.end() - 1] in _ANY  # white space follows, or nothing
    return match["stops"] != "." or not _NO_END.search(text[max(0, match.start() - _LOOK_BACK) : match.start()])


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # it matches nothing, too
    return int(match.end())


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
