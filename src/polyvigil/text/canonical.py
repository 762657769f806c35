"""What posts have in common that say the same: the letters alone, so that nearly identical posts can be told."""

from __future__ import annotations

import unicodedata

import regex

_PLACEHOLDERS = regex.compile(r"\[URL\]|@USER|\[PLACE\]")
_NO_LETTERS = regex.compile(r"[^\p{L}\p{M}]+")


def canonical(model_text: str) -> str:
    """A normalised post without case, links, mentions, digits, punctuation, white space, emoji and symbols.

    Letters in compatible forms are one (NFKC: full-width, ligatures). Empty where nothing but such things stands.
    """
    folded = unicodedata.normalize("NFKC", _PLACEHOLDERS.sub(" ", model_text)).casefold()
    return str(_NO_LETTERS.sub("", folded))
