"""What the translations do to the share of positives in a language: the root of the shortcut they can teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyvigil.augment.translate import Translated
from polyvigil.text.language import base_language
from polyvigil.types import LabelledPost

FACTOR = 2.0
"""How many times the share of the sources a language may hold before it is reported."""


@dataclass(frozen=True, slots=True)
class Prevalence:
    """A target language in a training on sources and translations; ``usual``: share of positives among the sources in
    other languages, in [0, 1]."""

    language: str
    posts: int
    positives: int
    usual: float

    @property
    def share(self) -> float:
        return self.positives / self.posts

    @property
    def positives_alone(self) -> bool:
        """Whether the language itself will be learned as the sign of an ADE."""
        return self.positives == self.posts and self.usual < 1

    @property
    def raised(self) -> bool:
        """Whether positives are at least FACTOR times as frequent as elsewhere."""
        return self.share >= FACTOR * self.usual


def prevalences(used: Sequence[Translated], sources: Sequence[LabelledPost]) -> tuple[Prevalence, ...]:
    """Each target language, in the order it first appears; the sources' own posts in it are counted too."""
    result = []
    for language in dict.fromkeys(base_language(row.item.post.language) for row in used):
        made = [row.item.label for row in used if base_language(row.item.post.language) == language]
        there = [item.label for item in sources if base_language(item.post.language) == language]
        other_labels = [item.label for item in sources if base_language(item.post.language) != language]
        labels = made + there
        result.append(Prevalence(language, len(labels), sum(labels), sum(other_labels) / len(other_labels)))
    return tuple(result)
