"""The analysis behind ``polyvigil audit drift``: two bundles on the same posts, no labels needed.

The flag rate at each bundle's own threshold comes first, since it is what readers of flagged posts notice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.gate import FLAG_FACTOR, Gate, Measured, Ratio, flag_ratio, gate_of
from polyvigil.data.packed_posts import field_of
from polyvigil.decide.shift import Side
from polyvigil.decide.unlabelled import overlap
from polyvigil.errors import DataError
from polyvigil.types import Frozen, Post


class DriftRow(Frozen):
    """One language. Shares and means in [0, 1]; ``ratio`` of flags, new over old; ``overlap`` of the histograms of
    logits, in [0, 1]."""

    language: str
    posts: int
    old_threshold: float
    new_threshold: float
    old_share: float
    new_share: float
    ratio: Ratio
    old_mean: float
    new_mean: float
    overlap: float


class DriftAudit(Frozen):
    """Every language of the posts by name, and the gate on its flag rate."""

    old: str
    new: str
    """Ids of the bundles."""
    languages: tuple[DriftRow, ...]
    gates: tuple[Gate, ...]


def audit_drift(old: Bundle, new: Bundle, posts: Sequence[Post]) -> DriftAudit:
    """Score the same posts with both. Raises DataError without posts."""
    if not posts:
        raise DataError("no posts to compare the bundles on", hint="give a file with posts")
    sides = [Side(bundle.policy, bundle.probabilities(posts), bundle.abstains(posts)) for bundle in (old, new)]
    rows = drift_rows(sides[0], sides[1], list(field_of(posts, "language")))
    return DriftAudit(old=old.id, new=new.id, languages=rows, gates=(rate_moved_gate(rows),))


def drift_rows(old: Side, new: Side, languages: Sequence[str]) -> tuple[DriftRow, ...]:
    """Both sides scored the same posts, in the order of ``languages``."""
    names = np.asarray(languages)
    flags = [side.flags(languages) for side in (old, new)]
    rows = []
    for name in np.unique(names).tolist():
        mask = names == name
        before, after = old.probabilities[mask], new.probabilities[mask]
        rows.append(
            DriftRow(
                language=name,
                posts=int(mask.sum()),
                old_threshold=old.policy.threshold(name).value,
                new_threshold=new.policy.threshold(name).value,
                old_share=float(flags[0][mask].mean()),
                new_share=float(flags[1][mask].mean()),
                ratio=flag_ratio(flags[0][mask], flags[1][mask]),
                old_mean=float(before.mean()),
                new_mean=float(after.mean()),
                overlap=overlap(before, after),
            )
        )
    return tuple(rows)


def rate_moved_gate(rows: Sequence[DriftRow]) -> Gate:
    """Languages whose flag rate moved by FLAG_FACTOR or more, surely not by chance."""
    measured = [
        Measured(
            group=row.language,
            value=max(row.ratio.value, 1 / row.ratio.value),
            beyond=row.ratio.beyond(FLAG_FACTOR),
            message=f"{row.language}: {row.new_share:.1%} of {row.posts:,} posts are flagged in place of"
            f" {row.old_share:.1%}, {row.ratio.value:.2f} times (95% {row.ratio.low:.2f} to {row.ratio.high:.2f}; limit"
            f" {FLAG_FACTOR:.2f} times either way); threshold {row.old_threshold:.2f} -> {row.new_threshold:.2f}",
            advice=f"label some {row.language} posts that one of the two flags, or keep the old rate: polyvigil tune"
            " NEW posts.csv --like OLD -o TUNED",
            language=row.language,
        )
        for row in rows
    ]
    return gate_of("flag-rate-moved", FLAG_FACTOR, measured)
