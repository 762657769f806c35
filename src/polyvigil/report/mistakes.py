"""The surest mistakes of a bundle, post by post. They hold the text of posts: on request alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from polyvigil.decide.policy import DecisionPolicy
from polyvigil.types import Frozen, Labels, Post, Probabilities

MOST = 20
MOST_CHARACTERS = 500
PII_WARNING = (
    "this holds posts word for word, which may name or identify people: keep it where the posts may be kept, and send "
    "it to nobody who may not read them"
)


class Mistake(Frozen):
    """One post on which decision and label differ."""

    kind: Literal["false positive", "false negative"]
    id: str
    language: str
    type: str
    p: float
    threshold: float
    text: str
    """As it was read, or its first 500 characters."""
    shortened: bool


def mistakes(
    posts: Sequence[Post], labels: Labels, probabilities: Probabilities, policy: DecisionPolicy, *, most: int
) -> tuple[Mistake, ...]:
    """In each language ``most`` false positives of the highest p, then as many false negatives of the lowest.

    Languages by name; of equal p the first in the file. Raises ValueError when ``most`` is not 1 to MOST.
    """
    if not 1 <= most <= MOST:
        raise ValueError(f"{most} posts of each kind; 1 to {MOST} can be shown")
    names = np.array([post.language for post in posts], dtype=np.str_)
    flags = policy.flags(probabilities, names.tolist())
    return tuple(
        _mistake(posts[index], kind, float(probabilities[index]), policy)
        for name in sorted(set(names.tolist()))
        for kind, index in _mistake_indices(names == name, labels, probabilities, flags, most)
    )


_Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
_Kind = Literal["false positive", "false negative"]


def _mistake_indices(
    mask: _Mask, labels: Labels, p: Probabilities, flags: _Mask, most: int
) -> Iterator[tuple[_Kind, int]]:
    false_positives = np.flatnonzero(mask & flags & (labels == 0))
    false_negatives = np.flatnonzero(mask & ~flags & (labels == 1))
    for index in false_positives[np.argsort(-p[false_positives], kind="stable")][:most].tolist():
        yield "false positive", index
    for index in false_negatives[np.argsort(p[false_negatives], kind="stable")][:most].tolist():
        yield "false negative", index


def _mistake(post: Post, kind: _Kind, p: float, policy: DecisionPolicy) -> Mistake:
    return Mistake(
        kind=kind,
        id=post.id,
        language=post.language,
        type=post.type,
        p=p,
        threshold=policy.threshold(post.language).value,
        text=post.text[:MOST_CHARACTERS],
        shortened=len(post.text) > MOST_CHARACTERS,
    )
