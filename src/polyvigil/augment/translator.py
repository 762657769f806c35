"""What translates: one protocol for a neural model (nn.translator) and for the mapping of letters (augment.mapping)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Translator(Protocol):
    """Texts in one language to texts in another; the same batch always gives the same answer."""

    @property
    def name(self) -> str:
        """What ``origin`` calls it; no path."""
        ...

    @property
    def identity(self) -> str:
        """Name, version and settings: two with one identity translate alike, so the cache goes by it."""
        ...

    @property
    def writes_language(self) -> bool:
        """Whether it writes a language that can be detected; else only the script of its output is looked at."""
        ...

    @property
    def longest(self) -> int:
        """The largest size it can translate whole."""
        ...

    def check(self, source: str, target: str) -> None:
        """Raise RecipeError when it cannot translate from ``source`` to ``target`` (codes such as ``en``)."""
        ...

    def sizes(self, texts: Sequence[str], *, source: str) -> list[int]:
        """How much each text takes, at least 0, in the order of ``texts``; a batch is filled by it."""
        ...

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """The translation of each text, in their order."""
        ...
