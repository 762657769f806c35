"""A post cut into sentences, pieces and words as a reader sees it, with no cut inside an entity or a tag of HTML.

Spans are of the text as it was written. By a normalisation that leaves HTML alone they are those of text.sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from polyvigil.text.align import Alignment, align_html
from polyvigil.text.sentences import Span, pieces, sentences, units


@dataclass(frozen=True, slots=True)
class LegibleText:
    """``original`` as a post holds it, and what is ``seen`` of it."""

    original: str
    seen: Alignment

    @staticmethod
    def of(original: str, normalisation: str) -> LegibleText:
        """The post as a model with this normalisation reads it, but for what is repaired and replaced."""
        return LegibleText(original, align_html(original, normalisation))

    def sentences(self) -> list[Span]:
        """See text.sentences.sentences: they cover the original wholly."""
        return self._covering(sentences(self.seen.text))

    def pieces(self, *, most: int) -> list[Span]:
        """See text.sentences.pieces: they cover the original wholly."""
        return self._covering(pieces(self.seen.text, most=most))

    def units(self) -> list[Span]:
        """See text.sentences.units."""
        return [self.written(unit.start, unit.end) for unit in units(self.seen.text)]

    def written(self, start: int, end: int) -> Span:
        """Where in the original ``seen.text[start:end]`` stands, which is not empty."""
        return Span(int(self.seen.starts[start]), int(self.seen.ends[end - 1]))

    def trimmed(self, span: Span) -> Span:
        """Without what is white space to a reader at the ends of a span from ``sentences``."""
        first, end = np.searchsorted(self.seen.starts, span).tolist()
        inside = self.seen.text[first:end]
        if not inside.strip():
            return Span(span.end, span.end)
        last = first + len(inside.rstrip()) - 1
        first += len(inside) - len(inside.lstrip())
        return self.written(first, last + 1)

    def visible(self) -> NDArray[np.bool_]:
        """Which characters of the original a reader sees, white space and tags not: (len(original),)."""
        solid = np.array([not character.isspace() for character in self.seen.text], dtype=np.float64)
        return self.seen.distribute(solid, length=len(self.original)) > 0

    def _covering(self, spans: Sequence[Span]) -> list[Span]:
        """Spans of what is seen, each beginning where the one before ends, as spans of the original."""
        inner = [int(self.seen.starts[span.start]) for span in spans[1:]]
        edges = dict.fromkeys((0, *inner, len(self.original)))  # one entity may be two characters
        return [Span(start, end) for start, end in pairwise(edges)]
