"""The analysis behind ``polyvigil audit similarity``: how alike the scores of the languages are. It judges nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.data.packed_posts import field_array
from polyvigil.decide.unlabelled import overlap
from polyvigil.errors import DataError
from polyvigil.types import Frozen, Post


class LanguageScores(Frozen):
    """Posts of one language, their mean P and the share flagged, both in [0, 1]."""

    language: str
    posts: int
    mean: float
    share: float
    threshold: float
    source: str


class SimilarityAudit(Frozen):
    """``overlaps`` (n_languages, n_languages), symmetric, 1 on its diagonal, in the order of ``languages``."""

    bundle: str
    languages: tuple[LanguageScores, ...]
    overlaps: tuple[tuple[float, ...], ...]


def audit_similarity(bundle: Bundle, posts: Sequence[Post]) -> SimilarityAudit:
    """Overlaps of the histograms of logits (decide.unlabelled.overlap). Raises DataError without posts."""
    if not posts:
        raise DataError("no posts to compare languages on", hint="give a file with posts")
    names = field_array(posts, "language")
    scores = bundle.probabilities(posts)
    flags = bundle.flags(posts, scores)
    languages = np.unique(names).tolist()
    return SimilarityAudit(
        bundle=bundle.id,
        languages=tuple(
            LanguageScores(
                language=name,
                posts=int((names == name).sum()),
                mean=float(scores[names == name].mean()),
                share=float(flags[names == name].mean()),
                threshold=bundle.policy.threshold(name).value,
                source=bundle.policy.threshold(name).source_name,
            )
            for name in languages
        ),
        overlaps=tuple(
            tuple(overlap(scores[names == one], scores[names == other]) for other in languages) for one in languages
        ),
    )
