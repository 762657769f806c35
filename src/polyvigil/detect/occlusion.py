"""Evidence of a detector of which nothing but its answers is known: what it says of the post without one of its parts.

The parts are the post's sentences, or smaller ones where it has a single sentence (text.legible). They are cut from the
text as it was written, and the rest is normalised as any post is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.base import Evidence
from polyvigil.text.legible import LegibleText
from polyvigil.text.sentences import Span
from polyvigil.types import Post, Probabilities

MOST_PIECES = 32
"""A post is scored at most this many times besides once as a whole; where it has more sentences, neighbours are left
out together."""
_TEXTS_PER_BATCH = 1024
_CLOSEST = 1e-12  # probabilities are held this far from 0 and 1, so that logits are finite


def occlusion(
    probabilities: Callable[[Sequence[Post]], Probabilities], posts: Sequence[Post], normalisation: str
) -> list[Evidence]:
    """Evidence by leaving parts out, in the order of ``posts``; a part's drop is spread evenly over what is seen of it.

    ``probabilities`` is asked of each post with and without each part, of about 1,000 texts at once; ``normalisation``
    is how it reads them. The drops do not add up to the logit: two sentences that say the same may both drop nothing.
    """
    result: list[Evidence] = []
    for batch in _batches(_divide(post, normalisation) for post in posts):
        variants = [variant for item in batch for variant in _variants(item)]
        logits = _logits(probabilities(variants))
        at = 0
        for item in batch:
            whole, without = float(logits[at]), logits[at + 1 : at + 1 + len(item.parts)]
            result.append(Evidence("occlusion", whole, _distributed(item, whole - without)))
            at += 1 + len(item.parts)
    return result


class _DividedPost(NamedTuple):
    """A post, and its parts as they are left out one by one."""

    post: Post
    text: LegibleText
    parts: list[Span]


def _divide(post: Post, normalisation: str) -> _DividedPost:
    text = LegibleText.of(post.text, normalisation)
    return _DividedPost(post, text, text.pieces(most=MOST_PIECES))


def _batches(items: Iterable[_DividedPost]) -> Iterator[list[_DividedPost]]:
    batch: list[_DividedPost] = []
    texts = 0
    for item in items:
        batch.append(item)
        texts += 1 + len(item.parts)
        if texts >= _TEXTS_PER_BATCH:
            yield batch
            batch, texts = [], 0
    if batch:
        yield batch


def _variants(item: _DividedPost) -> Iterator[Post]:
    yield item.post
    for part in item.parts:
        yield replace(item.post, text=item.post.text[: part.start] + item.post.text[part.end :])


def _logits(p: Probabilities) -> NDArray[np.float64]:
    held = np.clip(p, _CLOSEST, 1 - _CLOSEST)
    logits: NDArray[np.float64] = np.log(held) - np.log1p(-held)
    return logits


def _distributed(item: _DividedPost, drops: NDArray[np.float64]) -> NDArray[np.float64]:
    characters = np.zeros(len(item.post.text))
    visible = item.text.visible()
    for part, drop in zip(item.parts, drops.tolist(), strict=True):
        seen = part.start + np.flatnonzero(visible[part.start : part.end])
        positions = seen if len(seen) else np.arange(part.start, part.end)
        characters[positions] = drop / len(positions)
    return characters
