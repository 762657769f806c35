"""A post without what most plainly points at a person, for one that leaves the machine or that more people see.

Shapes are masked: links, e-mail addresses, mentions, dates in numbers, telephone numbers, long runs of digits; digits
of all scripts, full-width signs too. A name in running text has no shape and stays.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import regex

from polyvigil.text.align import align_clean, replaced_by
from polyvigil.text.normalise import clean

_AT, _DOT, _SLASH = "[@＠﹫]", "[.．｡。]", "[/／]"
_DASH = r"[-‐‑‒–—−－]"
_WORD = r"[\p{L}\p{M}\p{N}_]"
_INSIDE = r"[\p{L}\p{M}\p{N}_.+%．＿＋\-]"
_HOST = r"[\p{L}\p{N}\u0345-]"  # U+0345 was once taken for its capital, a letter, and hashes of masked texts are kept
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"  # scripts in which the text goes on behind a name
_SPACED = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--{_UNSPACED}]"
_ENDINGS = "com|org|net|edu|gov|info|biz|io|me|app|dev|de|fr|jp|ru|рф|cn|ir|uk|us|eu|ch|at|be|ca|tv|ly|gl"
_ENDING = rf"(?:{_ENDINGS})(?![\w-])"
_FOLDED = regex.IGNORECASE | regex.V1


class _Shape(NamedTuple):
    """What is masked: by which token, what it looks like, and a part of it that is quick to look for."""

    token: str
    pattern: regex.Pattern[str]
    part: regex.Pattern[str] | None = None
    """Where a text does not hold it the pattern is not tried, which of most posts it need not be."""


_SHAPES = (
    _Shape("[URL]", regex.compile(r"(?:h(?:tt|xx)ps?|ftp)[:：][/／]{2}\S+|(?<!\w)(?:www|ｗｗｗ)[.．]\S+", _FOLDED)),
    _Shape(
        "[EMAIL]",
        regex.compile(rf"(?<!{_INSIDE}){_WORD}{_INSIDE}*+\s?{_AT}\s?{_HOST}+(?:{_DOT}{_HOST}+)+", regex.V1),
        part=regex.compile(_AT),
    ),
    _Shape(
        "[URL]",
        regex.compile(
            rf"(?<![\w@.])(?:[a-z\d](?:[a-z\d-]{{0,61}}[a-z\d])?\.){{1,6}}{_ENDING}(?:{_SLASH}\S*)?", _FOLDED
        ),
        part=regex.compile(rf"\.{_ENDING}", _FOLDED),
    ),
    # A handle that is a capitalised word of letters may be a first name: the surname behind it goes too.
    _Shape(
        "[USER]", regex.compile(rf"{_AT}\p{{Lu}}[\p{{Ll}}\p{{M}}]+[ \t]\p{{Lu}}[\p{{Ll}}\p{{M}}]+(?!{_WORD})", regex.V1)
    ),
    _Shape(
        "[USER]",
        regex.compile(
            rf"{_AT}\s?(?:{_SPACED}(?:[{_SPACED}.\-]*{_SPACED})?|{_UNSPACED}{{1,12}})|<user>|(?<![\w/])/?u/[\w-]{{3,}}",
            regex.V1,
        ),
    ),
    _Shape(
        "[DATE]",
        regex.compile(
            rf"(?<!\p{{Nd}})(?<!\p{{Nd}}{_DOT})(?:\p{{Nd}}{{1,2}}\s?(?:{_DOT}|{_SLASH}|{_DASH})\s?\p{{Nd}}{{1,2}}\s?(?:{_DOT}|{_SLASH}|{_DASH})"
            rf"\s?\p{{Nd}}{{2,4}}|\p{{Nd}}{{4}}(?:{_DOT}|{_SLASH}|{_DASH})\p{{Nd}}{{1,2}}(?:{_DOT}|{_SLASH}|{_DASH})\p{{Nd}}{{1,2}}"
            rf"|\p{{Nd}}{{2,4}}\s?年\s?\p{{Nd}}{{1,2}}\s?月(?:\s?\p{{Nd}}{{1,2}}\s?[日号])?)(?!{_DOT}?\p{{Nd}})",
            regex.V1,
        ),
    ),
    _Shape(
        "[PHONE]",
        regex.compile(
            rf"[+＋]?[(（]?\p{{Nd}}(?:(?:[ \u00a0\u3000().．（）]|{_SLASH}|{_DASH}){{0,2}}\p{{Nd}}){{6,}}", regex.V1
        ),
    ),
    _Shape("[NUMBER]", regex.compile(r"\p{Nd}{6,}", regex.V1)),
)


def mask(text: str) -> str:
    """The text, cleaned (text.normalise.clean), with ``[URL]``, ``[EMAIL]``, ``[USER]``, ``[DATE]``, ``[PHONE]`` and
    ``[NUMBER]`` for what looks like one. ``mask(mask(x)) == mask(x)``.

    It rather masks too much: seven digits with single signs between them are a telephone number, whatever they meant.
    """
    text = " ".join(clean(text).split())
    while (after := _masking_pass(text)) != text:  # what a mask leaves bare may have a shape too; signs only grow fewer
        text = after
    return text


class MaskedSpan(NamedTuple):
    """A part of a post as it was written, and the token that stands for it."""

    start: int
    end: int
    token: str


TOKENS = tuple(dict.fromkeys(shape.token for shape in _SHAPES))
"""What can stand in a masked text, for what it looks like."""
LINKS_AND_PEOPLE = ("[URL]", "[EMAIL]", "[USER]")


def masked_spans(text: str, tokens: Collection[str] = TOKENS) -> list[MaskedSpan]:
    """What ``mask`` masks, as parts of the text as it was written, in order and apart; of these ``tokens`` alone."""
    alignment, spans = align_clean(text), list[MaskedSpan]()
    while True:
        before = alignment.text
        for token, pattern, part in _SHAPES:
            if token not in tokens or (part and not part.search(alignment.text)):
                continue
            matches = [match.span() for match in pattern.finditer(alignment.text) if match.group() != token]
            for start, end in matches:
                whole = MaskedSpan(int(alignment.starts[start]), int(alignment.ends[end - 1]), token)
                spans = [span for span in spans if span.end <= whole.start or span.start >= whole.end]
                spans.append(whole)
            alignment = replaced_by(alignment, matches, token)
        if alignment.text == before:
            return sorted(spans)


def _masking_pass(text: str) -> str:
    for token, pattern, part in _SHAPES:
        if part is None or part.search(text):
            text = pattern.sub(token, text)
    return text
