"""The analysis behind ``polyvigil audit truncation``: which posts are cut, and whether ADEs are lost by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.gate import LEAST_LOST, LOST, Gate, Measured, gate_of
from polyvigil.checks.audit.tails import parts
from polyvigil.data.packed_posts import NormalisedTexts, field_of, labels_of, posts_of
from polyvigil.data.read import Reading
from polyvigil.decide.policy import flagged
from polyvigil.evaluation.intervals import Interval, f1_interval, share_interval
from polyvigil.evaluation.lengths import LengthSlice, length_slices
from polyvigil.metrics import count
from polyvigil.types import Frozen, Labels, Post, Probabilities

_BANDS = 4


class Lost(Frozen):
    """A positive that is cut and not flagged, one of whose later parts is: P of both, by id, no text."""

    id: str
    language: str
    p: float
    p_tail: float
    threshold: float


class Band(Frozen):
    """Posts of a quarter of the lengths, in tokens where a member counts them, else in characters; shortest first."""

    low: int
    high: int
    posts: int
    cut: int
    positives: int
    found: int
    """Positives that are flagged."""
    f1: float
    f1_interval: Interval


class TruncationAudit(Frozen):
    """``tokens`` is False where no member counts them: then nothing is cut, and there are no ``languages``."""

    bundle: str
    tokens: bool
    posts: int
    cut: int
    positives: int
    cut_positives: int
    lost: tuple[Lost, ...]
    languages: tuple[LengthSlice, ...]
    bands: tuple[Band, ...]
    gates: tuple[Gate, ...]


def audit_truncation(bundle: Bundle, reading: Reading) -> TruncationAudit:
    """Of labelled posts. Later parts of the cut positives are scored by themselves, as whole posts would be."""
    posts, labels = posts_of(reading.posts), labels_of(reading.posts)
    languages = list(field_of(posts, "language"))
    scores = bundle.probabilities(posts)
    flags = bundle.flags(posts, scores)
    lengths = bundle.lengths(posts)
    sizes = (
        np.fromiter(map(len, NormalisedTexts(posts, bundle.normalisation)), dtype=np.int64, count=len(posts))
        if lengths is None
        else lengths.tokens
    )
    truncated = np.zeros(len(posts), dtype=np.bool_) if lengths is None else lengths.truncated
    hidden = np.flatnonzero(truncated & (labels == 1) & ~flags).tolist()
    lost = tuple(_lost(bundle, [posts[index] for index in hidden], scores[hidden]))
    return TruncationAudit(
        bundle=bundle.id,
        tokens=lengths is not None,
        posts=len(posts),
        cut=int(truncated.sum()),
        positives=int((labels == 1).sum()),
        cut_positives=int((truncated & (labels == 1)).sum()),
        lost=lost,
        languages=() if lengths is None else length_slices(lengths, languages),
        bands=bands(sizes, labels, flags, truncated),
        gates=(_lost_gate(lost, labels, languages, truncated),),
    )


def bands(
    sizes: NDArray[np.integer], labels: Labels, flags: NDArray[np.bool_], truncated: NDArray[np.bool_]
) -> tuple[Band, ...]:
    """Posts (n_posts,) in up to four bands of about as many posts; equal lengths stand in one."""
    edges = np.unique(np.quantile(sizes, np.arange(1, _BANDS) / _BANDS, method="lower"))
    codes = np.searchsorted(edges, sizes, side="left")
    results = []
    for code in np.unique(codes).tolist():
        mask = codes == code
        counts = count(labels[mask], flags[mask])
        results.append(
            Band(
                low=int(sizes[mask].min()),
                high=int(sizes[mask].max()),
                posts=int(mask.sum()),
                cut=int(truncated[mask].sum()),
                positives=counts.tp + counts.fn,
                found=counts.tp,
                f1=counts.f1,
                f1_interval=f1_interval(counts),
            )
        )
    return tuple(results)


def _lost(bundle: Bundle, posts: Sequence[Post], scores: Probabilities) -> Iterator[Lost]:
    for post, p, texts in zip(posts, scores.tolist(), parts(bundle, posts), strict=True):
        tail = bundle.probabilities([Post(post.id, text, post.language) for text in texts[1:]])
        threshold = bundle.policy.threshold(post.language).value
        if flagged(tail, threshold).any():
            yield Lost(id=post.id, language=post.language, p=p, p_tail=float(tail.max()), threshold=threshold)


def _lost_gate(lost: Sequence[Lost], labels: Labels, languages: Sequence[str], truncated: NDArray[np.bool_]) -> Gate:
    names = np.asarray(languages)
    measured = []
    for name in np.unique(names[truncated & (labels == 1)]).tolist():
        mask = (names == name) & (labels == 1)
        gone, positives = sum(item.language == name for item in lost), int(mask.sum())
        interval = share_interval(gone, positives)
        measured.append(
            Measured(
                group=name,
                value=gone / positives,
                beyond=gone >= LEAST_LOST and gone / positives > LOST,
                message=f"{name}: {gone:,} of {positives:,} positives ({gone / positives:.1%}, 95% "
                f"{interval.low:.1%} to"
                f" {interval.high:.1%}; limit {LOST:.0%}) are missed though their end, which is cut off, would be"
                f" flagged; {int((mask & truncated).sum()):,} of them are cut",
                advice="train with model.long_posts = 'windows', a higher model.max_tokens, or a linear model beside "
                "it, which reads posts whole",
                language=name,
            )
        )
    return gate_of("evidence-lost", LOST, measured)
