"""The letters of a script, for making texts in it."""

from __future__ import annotations

import unicodedata
from functools import cache

from polyvigil.text.script import SCRIPTS

LETTERS = 150
_PLANE = "".join(map(chr, (*range(0x21, 0xD800), *range(0xE000, 0x10000))))
_VAST = 1000  # letters; of such a script (Han, Hangul) every so manieth is taken


@cache
def alphabet(script: str) -> str:
    """Up to 150 letters of a script that text.script tells apart, lower-case, in the order of Unicode, each NFC.

    The first ones of an alphabet; evenly spaced ones of Han and Hangul. Letters of the basic plane only.
    """
    characters = [
        letter
        for letter in SCRIPTS[script].findall(_PLANE)
        if unicodedata.category(letter) in {"Ll", "Lo"} and unicodedata.normalize("NFC", letter) == letter
    ]
    step = max(1, len(characters) // LETTERS) if len(characters) > _VAST else 1
    return "".join(characters[::step][:LETTERS])
