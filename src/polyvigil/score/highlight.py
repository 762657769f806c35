"""A post's text cut into the parts that a page shows differently. The parts, joined, are the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from polyvigil.bundle.explain import Explanation
from polyvigil.text.mentions import Mention


@dataclass(frozen=True, slots=True)
class Marked:
    """A part of a text, and what is true of all of it."""

    text: str
    strong: bool
    """Whether it is in a span of the explanation."""
    mention: Mention | None
    last: bool
    """Whether the mention ends with it."""


@dataclass(frozen=True, slots=True)
class MarkedPost:
    """What stands before, in and after the sentence that carries the score; ``sentence`` is empty without one."""

    before: tuple[Marked, ...]
    sentence: tuple[Marked, ...]
    after: tuple[Marked, ...]


def marked(text: str, explanation: Explanation, marked_mentions: Sequence[Mention]) -> MarkedPost:
    """``text`` cut wherever a sentence, a span or one of the mentions, which do not overlap, begins or ends."""
    sentence = explanation.sentence
    start, end = (sentence.start, sentence.end) if sentence else (0, 0)
    intervals = [*((span.start, span.end) for span in explanation.spans), *((m.start, m.end) for m in marked_mentions)]
    edges = sorted({0, start, end, len(text), *(edge for interval in intervals for edge in interval)})
    spans, mentions = iter(explanation.spans), iter(marked_mentions)
    span, mention = next(spans, None), next(mentions, None)
    parts: tuple[list[Marked], list[Marked], list[Marked]] = ([], [], [])
    for left, right in pairwise(edges):
        while span is not None and span.end <= left:
            span = next(spans, None)
        while mention is not None and mention.end <= left:
            mention = next(mentions, None)
        here = mention if mention is not None and mention.start <= left else None
        strong = span is not None and span.start <= left
        which = 0 if right <= start else 1 if right <= end else 2
        parts[which].append(Marked(text[left:right], strong, here, here is not None and here.end == right))
    return MarkedPost(*map(tuple, parts))
