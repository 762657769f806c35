"""Characters that nobody sees, made visible: in names and cells replaced, in a post shown by name.

A post may hold characters that hide or turn round what stands near them. ``parts`` cuts a post there, so that a page
can put a labelled badge in their stead; those that a script needs (a joiner between Persian letters, in an emoji) stay.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from polyvigil.text.mentions import Mention

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and signs by their category, and nothing to the eye."""
_SEEN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that have a shape of their own."""
_JOINING = ((0x0600, 0x109F), (0x1780, 0x18AF), (0xA800, 0xABFF), (0xFB50, 0xFEFC))
"""Blocks whose letters join: Arabic and its kin, the scripts of India, Myanmar, Khmer, Mongolian."""

PartKind = Literal["text", "hidden"]


class Part(NamedTuple):
    """A piece of a post: text as it stands, or a badge such as ``U+202E`` for what is hidden."""

    kind: PartKind
    text: str
    name: str
    """Of a hidden character its name in Unicode; of a term of a list its code, if it has one; else empty."""
    marked: bool
    """Whether it lies in the span that is to be marked."""
    term: str = ""
    """``drug`` or ``reaction`` where it lies in a term of a user's list."""


def visible(value: object) -> object:
    """A string without what would hide or turn round other text: control characters, bidi controls, lone surrogates."""
    if type(value) is not str:
        return value
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if character in _BIDI_CONTROLS or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t")
        else character
        for character in value
    )


def parts(text: str, marked: tuple[int, int] | None = None, terms: Sequence[Mention] = ()) -> list[Part]:
    """The pieces of a post, in order. ``marked``: start and end of the span to mark; ``terms``: mentions to mark in it,
    none overlapping another. Text without parts is empty."""
    text = text.replace("\r\n", " \n").replace("\r", "\n")  # as long as before, for the span
    start, end = marked or (0, 0)
    of_terms = {index: mention for mention in terms for index in range(mention.start, mention.end)}
    pieces = groupby(
        enumerate(text), key=lambda item: (is_hidden(text, item[0]), start <= item[0] < end, of_terms.get(item[0]))
    )
    return [
        part
        for (hidden, inside, mention), items in pieces
        for part in _parts(items, hidden=hidden, marked=inside, mention=mention)
    ]


def _parts(items: Iterator[tuple[int, str]], *, hidden: bool, marked: bool, mention: Mention | None) -> Iterator[Part]:
    if not hidden:
        name, kind = (mention.term.code, mention.term.kind) if mention else ("", "")
        yield Part("text", "".join(character for _, character in items), name, marked, kind)
        return
    for character, run in groupby(character for _, character in items):
        n = sum(1 for _ in run)
        label = f"U+{ord(character):04X}" + (f" ×{n}" if n > 1 else "")
        yield Part("hidden", label, unicodedata.name(character, "CONTROL CHARACTER").lower(), marked)


def is_hidden(text: str, index: int) -> bool:
    """Whether the character at ``index`` is one that nobody sees and no script needs there."""
    character = text[index]
    if character in (_ZWNJ, _ZWJ):
        return not _is_joiner(text, index)
    if character in _BLANK:
        return True
    category = unicodedata.category(character)
    return (category in ("Cc", "Cs") and character not in "\n\t") or (category == "Cf" and character not in _SEEN)


def _is_joiner(text: str, index: int) -> bool:
    """Whether a joiner stands between letters that join or the parts of an emoji."""
    if not 0 < index < len(text) - 1:
        return False
    before, after = text[index - 1], text[index + 1]
    if any(first <= ord(before) <= last for first, last in _JOINING):
        return unicodedata.category(before)[0] in "LM" and unicodedata.category(after)[0] in "LM"
    # an emoji, its skin or its variation selector, then the next emoji
    return (
        text[index] == _ZWJ
        and unicodedata.category(after) == "So"
        and unicodedata.category(before) in ("So", "Sk", "Mn")
    )
