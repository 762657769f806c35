"""What of a post may leave the machine: its masked text, cut to a length."""

from __future__ import annotations

import regex

from polyvigil.text.mask import TOKENS, mask
from polyvigil.text.normalise import without_html

ELLIPSIS = " …"
_MASKED_FACTOR = 5  # times the characters that are sent: enough to mask, and bounded
_TOKENS = regex.compile("|".join(map(regex.escape, TOKENS)))


def masked(text: str, *, most_characters: int, normalisation: str) -> str:
    """What of a post is sent: HTML undone where the ``normalisation`` does that, masked (text.mask), then cut."""
    text = without_html(text, normalisation)
    return mask(text[: _MASKED_FACTOR * most_characters])[:most_characters].rstrip()


def shortened(masked_text: str, *, most_characters: int) -> str:
    """A masked text of at most so many characters; one that had to be cut ends in `` …``."""
    if len(masked_text) <= most_characters:
        return masked_text
    return masked_text[: most_characters - len(ELLIPSIS)].rstrip() + ELLIPSIS


def without_tokens(masked_text: str) -> str:
    """A masked text without the tokens that stand for what was masked, white space collapsed: what of two posts is
    compared."""
    return " ".join(_TOKENS.sub(" ", masked_text).split())
