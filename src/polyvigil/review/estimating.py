"""What reading a worklist has found and missed: an estimate for each language and one for all, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from polyvigil.evaluation.audit_estimate import (
    WIDEST,
    AuditEstimate,
    Estimate,
    combined_days,
    estimate_audit,
    level_of_looks,
    without_estimate,
)
from polyvigil.evaluation.stopping import StoppingStatement, stopping_statement
from polyvigil.review.reviewed import ReviewedLanguage
from polyvigil.types import Frozen

ALL = "all"
_MOST_UNREAD = 0.05
"""Flagged posts that nobody read, as a share of the ADEs in flagged ones, beside which recall has a value."""


class LanguageEstimate(Frozen):
    """One language, or all together."""

    estimate: AuditEstimate
    undecided: int
    """Rows of the worklist without a decision, or with two that differ and no third."""
    flags_recall: Estimate | None
    """Of the bundle's decisions, whatever was read beyond them; None where too many flagged posts were not read."""
    flagged_unread: int
    stopping: StoppingStatement | None
    """What reading in the order of the scores shows by itself, of one worklist; None of several, or of all languages.
    """


class ReviewEstimate(Frozen):
    """What ``polyvigil estimate`` says."""

    scored: tuple[str, ...]
    reviewed: tuple[str, ...]
    looks: int
    languages: tuple[LanguageEstimate, ...]
    pooled: LanguageEstimate
    notes: tuple[str, ...] = ()


def estimate_languages(
    parts: Sequence[ReviewedLanguage], *, looks: int = 1, seed: int = 0
) -> tuple[tuple[LanguageEstimate, ...], LanguageEstimate]:
    """Each language by name, all its days and bundles together, and all languages together."""
    names = sorted({part.part.language for part in parts})
    by_language = [[part for part in parts if part.part.language == name] for name in names]
    languages = tuple(
        _estimated(name, some, looks=looks, seed=seed) for name, some in zip(names, by_language, strict=True)
    )
    return languages, _estimated(ALL, parts, looks=looks, seed=seed)


def _estimated(name: str, reviewed: Sequence[ReviewedLanguage], *, looks: int, seed: int) -> LanguageEstimate:
    parts = combined_days([one.part for one in reviewed])
    undecided = sum(one.undecided_queue + one.undecided_audit for one in reviewed)
    if undecided:
        reason = (
            f"Not estimated: {undecided:,} posts of the worklist have no decision yet, or two that differ; what they "
            "hold would be missing from the estimate. Decide on them first."
        )
        estimate = without_estimate(parts, name, level_of_looks(looks), reason)
    else:
        confirmed = not any(one.unconfirmed for one in reviewed)
        estimate = estimate_audit(parts, name=name, looks=looks, confirmed=confirmed, seed=seed)
    alone = len(reviewed) == 1 and name != ALL and not undecided
    return LanguageEstimate(
        estimate=estimate,
        undecided=undecided,
        flags_recall=_flags_recall(estimate, reviewed),
        flagged_unread=sum(one.flagged_unread for one in reviewed),
        stopping=stopping_statement(reviewed[0].in_order, estimate.read + estimate.unread, level=level_of_looks(looks))
        if alone
        else None,
    )


def _flags_recall(estimate: AuditEstimate, reviewed: Sequence[ReviewedLanguage]) -> Estimate | None:
    """Recall of the flags: of all ADEs, those in flagged posts. Each flagged post that was not read may be one or not;
    None where too many of them were not."""
    if estimate.missed is None:
        return None
    flagged_true, unread = (sum(getattr(one, name) for one in reviewed) for name in ("flagged_true", "flagged_unread"))
    missed = estimate.missed

    def recall(true: int, more: float) -> float:
        total = estimate.true_positives + more
        return min(true / total, 1.0) if total else 0.0

    low, high = recall(flagged_true, missed.high), recall(flagged_true + unread, missed.low)
    if unread and (high - low) / 2 > WIDEST:
        return None
    value = None if missed.value is None or unread > _MOST_UNREAD * flagged_true else recall(flagged_true, missed.value)
    return Estimate(value=value, low=low, high=high)
