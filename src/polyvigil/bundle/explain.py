"""Which sentence of a post carries its score, and which words: the evidence of all members as one.

Each member's evidence is in its own logits, and members differ in how far apart these lie. So each is divided by the
standard deviation of that member's logits on the dev posts and multiplied by the mean of these deviations; then the
mean is taken with the weights of the combination, over the members that were asked of the post. The evidence of a
bundle with a single member stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.store import Bundle
from polyvigil.decide.thresholds import logit
from polyvigil.text.normalise import model_text, no_text_reason
from polyvigil.text.pieces import units
from polyvigil.text.sentences import Stretch, sentences
from polyvigil.types import Post

MOST_SPANS = 5
_STRONG = 0.25  # of the strongest unit's evidence per character: what a span is made of
_WORTH = 0.1  # of the strongest span's evidence: a weaker one is not told


@dataclass(frozen=True, slots=True)
class Span:
    """``text[start:end]`` of the post as it was written, in code points; ``score``: the evidence in it, in logits."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the score of one post comes from."""

    sentence: Span | None
    """The sentence with the most evidence, the first of equals; None where there is nothing to read."""
    spans: tuple[Span, ...]
    """The words with the most evidence per character, neighbours joined inside a sentence; at most 5, in their order.
    They need not be in ``sentence``; there are none where everything counts against an ADE."""
    method: str
    """How it was found (detect.base.Evidence); ``contributions+occlusion`` where members differ, empty without text."""


def explain(bundle: Bundle, posts: Sequence[Post]) -> list[Explanation]:
    """Explain the score of each post, in their order. Encoders are asked up to 33 times of a post, once a sentence."""
    readable = [place for place, post in enumerate(posts) if not no_text_reason(model_text(post.text))]
    chosen = [posts[place] for place in readable]
    asked = _asked(bundle, chosen)
    weights = np.array(bundle.combination.weights or np.ones(len(bundle.members)))
    totals = [np.zeros(len(post.text)) for post in chosen]
    methods: list[set[str]] = [set() for _ in chosen]
    for member, mine, weight, scale in zip(bundle.members, asked, weights, _scales(bundle), strict=True):
        if not (places := np.flatnonzero(mine).tolist()):
            continue
        for place, evidence in zip(places, member.evidence([chosen[place] for place in places]), strict=True):
            share = weight / weights[asked[:, place]].sum()
            totals[place] += scale * share * evidence.characters
            methods[place].add(evidence.method)
    found = [Explanation(None, (), "")] * len(posts)
    for place, post, total, method in zip(readable, chosen, totals, methods, strict=True):
        found[place] = _explanation(post.text, total, "+".join(sorted(method)))
    return found


def _asked(bundle: Bundle, posts: Sequence[Post]) -> NDArray[np.bool_]:
    """Which members had a say in each post's score: (n_members, n_posts).

    Where a judge decided it is the judge alone; a chat endpoint gives no evidence, so there it is the first stage.
    """
    combination, members = bundle.combination, len(bundle.members)
    if not posts or (combination.cascade is None and combination.judge is None):
        return np.ones((members, len(posts)), dtype=bool)
    asked = ~np.isnan(bundle.asked_probabilities(posts))
    if combination.judge:
        first = len(combination.asked_first(members))
        if bundle.has_endpoint:
            asked[first:] = False
        else:
            asked[:first] &= ~asked[first:].any(axis=0)
    return asked


def _scales(bundle: Bundle) -> NDArray[np.float64]:
    """What each member's logits are multiplied by, (n_members,): 1 where the dev posts do not tell. A judge's members
    are never beside those of the first stage, so each stage has its own scale."""
    spreads = np.array([np.std(logit(row[row > 0])) if (row > 0).any() else 0.0 for row in bundle.dev.by_member])
    judge = bundle.combination.judge
    scales = np.ones(len(spreads))
    for stage in np.split(np.arange(len(spreads)), [len(spreads) - judge.members] if judge else []):
        if len(stage) > 1 and spreads[stage].all():
            scales[stage] = spreads[stage].mean() / spreads[stage]
    return scales


def _explanation(text: str, characters: NDArray[np.float64], method: str) -> Explanation:
    parts = sentences(text)
    scores = [float(characters[part.start : part.end].sum()) for part in parts]
    best = int(np.argmax(scores))
    found = [Span(*part, float(characters[part.start : part.end].sum())) for part in _strong(text, parts, characters)]
    found.sort(key=lambda span: -span.score)
    spans = [span for span in found[:MOST_SPANS] if span.score >= _WORTH * found[0].score]
    return Explanation(
        _trimmed(text, parts[best], scores[best]), tuple(sorted(spans, key=lambda span: span.start)), method
    )


def _trimmed(text: str, part: Stretch, score: float) -> Span:
    """Without the white space at its ends, which is no evidence."""
    inside = text[part.start : part.end]
    start = part.start + len(inside) - len(inside.lstrip())
    return Span(start, start + len(inside.strip()), score)


def _strong(text: str, parts: Sequence[Stretch], characters: NDArray[np.float64]) -> list[Stretch]:
    """Units with at least a quarter of the strongest one's evidence per character; neighbours in a sentence are one."""
    words = list(units(text))  # at least one, since the text can be read
    starts, ends = np.array(words).T
    density = np.add.reduceat(np.append(characters, 0.0), np.array(words).ravel())[::2] / (ends - starts)
    top = density.max()
    if top <= 0:
        return []
    sentence = np.searchsorted([part.start for part in parts], starts, side="right")
    found: list[Stretch] = []
    last = -2
    for place in np.flatnonzero(density >= _STRONG * top).tolist():
        if place == last + 1 and sentence[place] == sentence[last]:
            found[-1] = Stretch(found[-1].start, words[place].end)
        else:
            found.append(words[place])
        last = place
    return found
