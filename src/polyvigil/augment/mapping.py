"""A translator that knows no language: letters of Latin and Cyrillic script, each replaced by one of the Arabic block.

What it writes has the words and labels of its source and a script of its own, so whatever a model makes of that script
it has from the labels alone. For looking at shortcuts, and for tests; never for a model that is to read Farsi.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from polyvigil.errors import RecipeError
from polyvigil.text.script import alphabet

_MARK = re.compile(r"(\[URL\]|@USER|\[PLACE\])")
_READ = "abcdefghijklmnopqrstuvwxyzßàâäæçèéêëîïôöùûüÿœабвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_SOURCES = ("de", "en", "fr", "ru")
_TARGETS = ("fa",)


@dataclass(frozen=True, slots=True)
class Mapping:
    """The translator ``--mapping arabic``. Lower-cases; placeholders, digits, marks and spaces stay."""

    name: str = "mapping-arabic"
    identity: str = "mapping-arabic@1"
    writes_language: bool = False
    longest: int = 1_000_000

    def check(self, source: str, target: str) -> None:
        """Raise RecipeError for anything but de, en, fr or ru to fa."""
        if source not in _SOURCES or target not in _TARGETS:
            raise RecipeError(
                f"cannot map {source} to {target}: it takes {', '.join(_SOURCES)} to {', '.join(_TARGETS)}",
                where="--mapping",
                hint="leave --mapping out, for a real translation",
            )

    def sizes(self, texts: Sequence[str], *, source: str) -> list[int]:  # noqa: ARG002 - one size for all languages
        """Characters."""
        return [len(text) for text in texts]

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """The texts with their letters replaced."""
        self.check(source, target)
        table = _table()
        return [
            "".join(part if _MARK.fullmatch(part) else part.lower().translate(table) for part in _MARK.split(text))
            for text in texts
        ]


@cache
def _table() -> dict[int, int]:
    """One-to-one: no two letters become one."""
    return {ord(letter): ord(other) for letter, other in zip(_READ, alphabet("Arabic"), strict=False)}
