"""Evidence of a detector of which nothing but its answers is known: what it says of the post without one of its parts.

The parts are the post's sentences, or smaller ones where it has a single sentence (text.pieces). They are cut from the
text as it was written, and the rest is normalised as any post is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.base import Evidence
from polyvigil.text.sentences import Span, pieces
from polyvigil.types import Post, Probabilities

MOST_PIECES = 32
"""A post is scored at most this many times besides once as a whole; where it has more sentences, neighbours are left
out together."""
_TEXTS_PER_BATCH = 1024
_CLOSEST = 1e-12  # probabilities are held this far from 0 and 1, so that logits are finite


def occlusion(probabilities: Callable[[Sequence[Post]], Probabilities], posts: Sequence[Post]) -> list[Evidence]:
    """Evidence by leaving parts out, in the order of ``posts``; a part's drop is spread evenly over what is seen of it.

    ``probabilities`` is asked of each post with and without each part, of about 1,000 texts at once. The drops do not
    add up to the logit: two sentences that say the same may both drop nothing.
    """
    result: list[Evidence] = []
    for batch in _batches([(post, pieces(post.text, most=MOST_PIECES)) for post in posts]):
        variants = [variant for post, parts in batch for variant in _variants(post, parts)]
        logits = _logits(probabilities(variants))
        at = 0
        for post, parts in batch:
            whole, without = float(logits[at]), logits[at + 1 : at + 1 + len(parts)]
            result.append(Evidence("occlusion", whole, _distributed(post.text, parts, whole - without)))
            at += 1 + len(parts)
    return result


def _batches(items: Sequence[tuple[Post, list[Span]]]) -> Iterator[list[tuple[Post, list[Span]]]]:
    batch: list[tuple[Post, list[Span]]] = []
    texts = 0
    for post, parts in items:
        batch.append((post, parts))
        texts += 1 + len(parts)
        if texts >= _TEXTS_PER_BATCH:
            yield batch
            batch, texts = [], 0
    if batch:
        yield batch


def _variants(post: Post, parts: Sequence[Span]) -> Iterator[Post]:
    yield post
    for part in parts:
        yield replace(post, text=post.text[: part.start] + post.text[part.end :])


def _logits(p: Probabilities) -> NDArray[np.float64]:
    held = np.clip(p, _CLOSEST, 1 - _CLOSEST)
    logits: NDArray[np.float64] = np.log(held) - np.log1p(-held)
    return logits


def _distributed(text: str, parts: Sequence[Span], drops: NDArray[np.float64]) -> NDArray[np.float64]:
    characters = np.zeros(len(text))
    for part, drop in zip(parts, drops.tolist(), strict=True):
        seen = [position for position in range(part.start, part.end) if not text[position].isspace()]
        positions = seen or range(part.start, part.end)
        characters[list(positions)] = drop / len(positions)
    return characters
