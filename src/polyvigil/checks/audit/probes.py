"""Texts that say nothing, in a given script: random letters, and negatives whose letters are replaced one by one.

Who flags them has learned the script, not the ADE. The letters are those that the model reacts to at all: of a script
that it has never seen it knows none, of a language hidden in a script it knows just that language's.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.text.alphabet import LETTERS, alphabet
from polyvigil.text.normalise import model_text
from polyvigil.text.script import SCRIPTS
from polyvigil.types import Post

TEXTS = 100
"""Of either kind, in each script."""
_UNKNOWN = "ᚠᚢᚦ ᚨᚱ"  # runes, in which nobody posts
_SAME = 1e-9  # the least change of P that counts as a reaction
_MAPPINGS = 4
_MARK = re.compile(r"\[URL\]|@USER|\[PLACE\]")
_LEAST = 20  # letters that a text must hold to be mapped


def known_letters(bundle: Bundle, script: str, *, seen: Sequence[str] = ()) -> str:
    """The letters of a script that the bundle reacts to; all of them where it reacts to none.

    ``seen``: texts, whose letters of the script come before those of its alphabet.
    """
    pattern = SCRIPTS[script]
    common = Counter(letter for text in seen for letter in pattern.findall(text.lower()))
    letters = "".join(dict.fromkeys([*(letter for letter, _ in common.most_common(LETTERS)), *alphabet(script)]))
    posts = [Post("", " ".join([letter] * 3)) for letter in letters]
    scores = bundle.probabilities([Post("", _UNKNOWN), *posts])
    known = np.flatnonzero(np.abs(scores[1:] - scores[0]) > _SAME)
    return "".join(letters[index] for index in known) or letters


def junk(letters: str, *, number: int = TEXTS, seed: int = 0) -> list[str]:
    """Texts of 6 to 24 words of 2 to 9 random letters. Deterministic."""
    generator = random.Random(seed)
    return [
        " ".join(
            "".join(generator.choices(letters, k=generator.randint(2, 9))) for _ in range(generator.randint(6, 24))
        )
        for _ in range(number)
    ]


def mapped(texts: Sequence[str], letters: str, *, number: int = TEXTS, seed: int = 0) -> list[str]:
    """Texts whose letters are replaced by ``letters``, one to one while there are enough, in four different ways.

    Words, marks and placeholders stay as they are. At most ``number`` texts, none when none holds enough letters.
    Deterministic.
    """
    generator = random.Random(seed)
    plain = [model_text(text) for text in texts]
    plain = [text for text in plain if sum(map(str.isalpha, text)) >= _LEAST]
    plain = generator.sample(plain, min(number, len(plain)))
    lowered = [_lower(text) for text in plain]
    source = [letter for letter, _ in Counter(filter(str.isalpha, "".join(lowered))).most_common()]
    made = []
    for way in range(_MAPPINGS):
        target = generator.sample(letters, len(letters))
        table = {letter: target[index % len(target)] for index, letter in enumerate(source)}
        made += [_translated(text, table) for text in lowered[way::_MAPPINGS]]
    return made


def _lower(text: str) -> str:
    return "".join(part if _MARK.fullmatch(part) else part.lower() for part in _parts(text))


def _translated(text: str, table: dict[str, str]) -> str:
    return "".join(
        part if _MARK.fullmatch(part) else "".join(table.get(letter, letter) for letter in part)
        for part in _parts(text)
    )


def _parts(text: str) -> list[str]:
    """Placeholders and what stands between them."""
    return re.split(rf"({_MARK.pattern})", text)
