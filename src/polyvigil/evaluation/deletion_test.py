"""Are explanations faithful? The deletion test: what is pointed at is left out, and so is another span as long.

Where the score does come from what is pointed at, P falls further without it than without the other span. Chance
is 50%. After the erasure tests of DeYoung et al. (2020), with a span of the same length instead of their baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polyvigil.bundle.explain import Explanation, explain
from polyvigil.bundle.store import Bundle
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.text.legible import LegibleText
from polyvigil.text.sentences import Span
from polyvigil.types import Frozen, Post

POOLED = "pooled"


class DeletionSlice(Frozen):
    """The test on the flagged posts of one language, or of all (``pooled``)."""

    language: str
    flagged: int
    compared: int
    """Flagged posts in which another span as long can be left out. The others are too short."""
    sentences: int
    """Of those compared: the carrying sentence was left out; of the rest, the strongest span."""
    better: int
    """P fell further without what is pointed at than without the other span; equal falls do not count."""
    share: float
    """``better`` of ``compared``, in [0, 1]; 0 of none."""
    interval: Interval
    drop: float
    """Mean fall of P, in [-1, 1]; 0 of none."""
    other_drop: float


class DeletionTest(Frozen):
    """What the deletion test found."""

    bundle: str
    posts: int
    pooled: DeletionSlice
    languages: tuple[DeletionSlice, ...]
    """Of each language with flagged posts, sorted."""


@dataclass(frozen=True, slots=True)
class _Trial:
    post: Post
    pointed: Span
    other: Span
    is_sentence: bool


def deletion_test(bundle: Bundle, posts: Sequence[Post], *, seed: int = 0) -> DeletionTest:
    """Test the explanations of the flagged posts among ``posts``. The other spans are sampled from ``seed``.

    An explained post is scored three times, and by an encoder once more for each sentence.
    """
    probabilities = bundle.probabilities(posts)
    flags = bundle.flags(posts, probabilities)
    indices = np.flatnonzero(flags).tolist()
    flagged = [posts[index] for index in indices]
    random = np.random.default_rng(seed)
    attempts = [
        _trial(post, LegibleText.of(post.text, bundle.normalisation).units(), explanation, random)
        for post, explanation in zip(flagged, explain(bundle, flagged), strict=True)
    ]
    trials = [trial for trial in attempts if trial is not None]
    whole = probabilities[[index for index, trial in zip(indices, attempts, strict=True) if trial is not None]]
    drops = whole - bundle.probabilities([_without(trial.post, trial.pointed) for trial in trials])
    other_drops = whole - bundle.probabilities([_without(trial.post, trial.other) for trial in trials])
    sentences = np.array([trial.is_sentence for trial in trials], dtype=bool)
    spoken = np.array([trial.post.language for trial in trials], dtype=str)

    def part(name: str) -> DeletionSlice:
        mask = np.ones(len(trials), dtype=bool) if name == POOLED else spoken == name
        compared, better = int(mask.sum()), int((drops > other_drops)[mask].sum())
        return DeletionSlice(
            language=name,
            flagged=sum(name in (POOLED, post.language) for post in flagged),
            compared=compared,
            sentences=int(sentences[mask].sum()),
            better=better,
            share=better / max(compared, 1),
            interval=share_interval(better, compared),
            drop=float(drops[mask].sum()) / max(compared, 1),
            other_drop=float(other_drops[mask].sum()) / max(compared, 1),
        )

    languages = sorted({post.language for post in flagged})
    return DeletionTest(
        bundle=bundle.id, posts=len(posts), pooled=part(POOLED), languages=tuple(part(name) for name in languages)
    )


def _trial(post: Post, words: Sequence[Span], explanation: Explanation, random: np.random.Generator) -> _Trial | None:
    """The carrying sentence, or else the strongest span, with a span as long apart from it; None if there is none.

    The other span begins where one of the ``words`` of the post begins.
    """
    sentence = explanation.sentence
    strongest = max(explanation.spans, key=lambda span: span.score, default=None)
    for pointed in filter(None, (sentence, strongest)):
        size = pointed.end - pointed.start
        starts = [
            word.start
            for word in words
            if word.start + size <= (pointed.start if word.start < pointed.end else len(post.text))
        ]
        if starts:
            start = int(random.choice(starts))
            return _Trial(post, Span(pointed.start, pointed.end), Span(start, start + size), pointed is sentence)
    return None


def _without(post: Post, span: Span) -> Post:
    return replace(post, text=post.text[: span.start] + post.text[span.end :])
