"""A post as sentences, by offsets into the text as it was written.

Simple rules for Latin, Cyrillic, Greek, Arabic, Indic and East Asian punctuation. In doubt two sentences stay one.
Offsets count code points, as Python does.
"""

from __future__ import annotations

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
