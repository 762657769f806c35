"""Which sentence of a post carries its score, and which words: the evidence of all members as one.

Each member's evidence is in its own logits, and members differ in how far apart these lie. So each is divided by the
standard deviation of that member's logits on the dev posts and multiplied by the mean of these deviations; then the
mean is taken with the weights of the combination, over the members that scored the post. The evidence of a bundle with
a single member stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.store import Bundle
from polyvigil.decide.thresholds import logit
from polyvigil.judge.endpoint import Endpoint
from polyvigil.text.legible import LegibleText
from polyvigil.text.normalise import model_text, no_text_reason
from polyvigil.text.sentences import Span
from polyvigil.types import Post

MOST_SPANS = 5
_STRONG = 0.25  # of the strongest unit's evidence per character: what a span is made of
_WORTH = 0.1  # of the strongest span's evidence: a weaker one is left out


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """``text[start:end]`` of the post as it was written, in code points; ``score``: the evidence in it, in logits."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the score of one post comes from."""

    sentence: ScoredSpan | None
    """The sentence with the most evidence, the first of equals; None where there is nothing to read."""
    spans: tuple[ScoredSpan, ...]
    """The words with the most evidence per character, neighbours joined inside a sentence; at most 5, in their order.
    They need not be in ``sentence``; there are none where everything counts against an ADE."""
    method: str
    """How it was found (detect.base.Evidence); ``contributions+occlusion`` where members differ, empty without text."""


def explain(bundle: Bundle, posts: Sequence[Post]) -> list[Explanation]:
    """Explain the score of each post, in their order. Encoders are asked up to 33 times of a post, once a sentence."""
    normalisation = bundle.normalisation
    readable = [index for index, post in enumerate(posts) if not no_text_reason(model_text(post.text, normalisation))]
    chosen = [posts[index] for index in readable]
    contributing = _contributing(bundle, chosen)
    weights = np.array(bundle.combination_record.weights or np.ones(len(bundle.all_members)))
    totals = [np.zeros(len(post.text)) for post in chosen]
    methods: list[set[str]] = [set() for _ in chosen]
    for member, mask, weight, scale in zip(bundle.all_members, contributing, weights, _scales(bundle), strict=True):
        if not (indices := np.flatnonzero(mask).tolist()) or isinstance(member, Endpoint):
            continue
        for index, evidence in zip(indices, member.evidence([chosen[index] for index in indices]), strict=True):
            share = weight / weights[contributing[:, index]].sum()
            totals[index] += scale * share * evidence.characters
            methods[index].add(evidence.method)
    result = [Explanation(None, (), "")] * len(posts)
    for index, post, total, method in zip(readable, chosen, totals, methods, strict=True):
        result[index] = _explanation(LegibleText.of(post.text, normalisation), total, "+".join(sorted(method)))
    return result


def _contributing(bundle: Bundle, posts: Sequence[Post]) -> NDArray[np.bool_]:
    """Which members, of both stages, had a say in each post's score: (n_members, n_posts).

    Where the second stage decided it is that stage alone; a chat endpoint gives no evidence, so there it is the first.
    """
    if not posts or (bundle.combination.cascade is None and bundle.second_stage is None):
        return bundle.combination.mask([post.language for post in posts], members=len(bundle.all_members))
    scores = bundle.scores(posts)
    contributing = ~np.isnan(scores.all_members.probabilities)
    if scores.second:
        first = len(bundle.members)
        if bundle.has_endpoint:
            contributing[first:] = False
        else:
            contributing[:first] &= ~scores.second.answered
    return contributing


def _scales(bundle: Bundle) -> NDArray[np.float64]:
    """What each member's logits are multiplied by, (n_members,): 1 where the dev posts do not tell. The members of a
    second stage are never beside those of the first, so each stage has its own scale."""
    stages = [bundle.dev.by_member, *([] if bundle.dev.second_stage is None else [bundle.dev.second_stage])]
    scales = []
    for rows in stages:
        deviations = np.array([np.std(logit(row[row > 0])) if (row > 0).any() else 0.0 for row in rows])
        usable = len(rows) > 1 and deviations.all()
        scales.append(deviations.mean() / deviations if usable else np.ones(len(rows)))
    return np.concatenate(scales)


def _explanation(text: LegibleText, characters: NDArray[np.float64], method: str) -> Explanation:
    parts = text.sentences()
    scores = [float(characters[part.start : part.end].sum()) for part in parts]
    best = int(np.argmax(scores))
    ranked = [
        ScoredSpan(*part, float(characters[part.start : part.end].sum())) for part in _strong(text, parts, characters)
    ]
    ranked.sort(key=lambda span: -span.score)
    spans = [span for span in ranked[:MOST_SPANS] if span.score >= _WORTH * ranked[0].score]
    strongest = ScoredSpan(*text.trimmed(parts[best]), scores[best])
    return Explanation(strongest, tuple(sorted(spans, key=lambda span: span.start)), method)


def _strong(text: LegibleText, parts: Sequence[Span], characters: NDArray[np.float64]) -> list[Span]:
    """Units with at least a quarter of the strongest one's evidence per character; neighbours in a sentence are one."""
    words = text.units()  # at least one, since the text can be read
    starts, ends = np.array(words).T
    density = np.add.reduceat(np.append(characters, 0.0), np.array(words).ravel())[::2] / (ends - starts)
    top = density.max()
    if top <= 0:
        return []
    sentence = np.searchsorted([part.start for part in parts], starts, side="right")
    result: list[Span] = []
    last = -2
    for index in np.flatnonzero(density >= _STRONG * top).tolist():
        if index == last + 1 and sentence[index] == sentence[last]:
            result[-1] = Span(result[-1].start, words[index].end)
        else:
            result.append(words[index])
        last = index
    return result
