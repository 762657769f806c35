"""Audited metrics for a report: what people read, beside what the scores say of themselves.

In: what ``polyvigil review metrics`` or ``polyvigil estimate`` printed as JSON. Out: one ``AuditedMetrics`` for each
language. They are taken over as they are: an audit that carries no value has none here, and its reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from polyvigil.errors import DataError
from polyvigil.evaluation.audit_estimate import Estimate
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.monitor.weeks import parse_week
from polyvigil.types import Frozen

_MOST = 1 << 26
_HINT = "write one: polyvigil review metrics STORE -o metrics.json, or polyvigil estimate ... --json > estimate.json"


class AuditedMetrics(Frozen):
    """One language, or all together, of the week named, or of everything read so far (week empty)."""

    week: str
    language: str
    read: int
    """Posts that were read because of their score."""
    positives: int
    """ADEs among them."""
    precision: float | None
    precision_interval: Interval
    recall: Estimate | None
    """Of the flags, estimated from an audit; its value is None where the audit carries bounds alone."""
    recall_by_scores: float | None
    """What the calibrated scores say the recall is, of the same weeks of the monitor; label-free."""
    remarks: tuple[str, ...]


class _AuditEstimate(BaseModel):
    """What is needed of an evaluation.audit_estimate.AuditEstimate."""

    name: str
    read: int
    true_positives: int
    recall: Estimate | None
    remarks: tuple[str, ...] = ()


class _EstimatedLanguage(BaseModel):
    estimate: _AuditEstimate
    flags_recall: Estimate | None
    flagged_unread: int


class _EstimateDocument(BaseModel):
    """Of polyvigil estimate: review.estimating.ReviewEstimate."""

    languages: tuple[_EstimatedLanguage, ...]
    pooled: _EstimatedLanguage


class _MeasuredLanguage(BaseModel):
    name: str
    read: int
    positives: int
    estimate: _AuditEstimate | None
    remarks: tuple[str, ...] = ()


class _MetricsDocument(BaseModel):
    """Of polyvigil review metrics: review.measuring.ReviewMetrics."""

    head_seq: int
    languages: tuple[_MeasuredLanguage, ...]


def read_audited(given: str) -> tuple[AuditedMetrics, ...]:
    """``FILE``, or ``WEEK=FILE`` for metrics of one week. Raises DataError for a file that holds no such metrics."""
    week, equals, path = given.partition("=")
    if equals and not Path(given).exists():
        try:
            week = parse_week(week)
        except ValueError as error:
            raise DataError(f"{week!r} {error}", where="--audited", hint="as 2026-W12=metrics.json") from error
    else:
        week, path = "", given
    return audited_of(_document(Path(path)), week=week, where=path)


def audited_of(document: Any, *, week: str = "", where: str = "") -> tuple[AuditedMetrics, ...]:
    """The metrics in a document: of either command, with or without what ``--json`` puts around it."""
    if isinstance(document, dict) and isinstance(document.get("data"), dict):
        document = document["data"]
    try:
        if isinstance(document, dict) and "head_seq" in document:
            return tuple(_measured(_MetricsDocument.model_validate(document), week))
        estimated = _EstimateDocument.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the document"
        reason = f"holds no audited metrics: {field}: {first['msg'].lower()}"
        raise DataError(reason, where=where, hint=_HINT) from error
    pooled = (estimated.pooled,) if len(estimated.languages) > 1 else ()
    return tuple(_estimated(one, week) for one in (*estimated.languages, *pooled))


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > _MOST:
            raise DataError("is too large to hold metrics", where=str(path), hint=_HINT)
        return json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError("no such file", where=str(path), hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise DataError("is no JSON", where=str(path), hint=_HINT) from error


def _measured(document: _MetricsDocument, week: str) -> Iterator[AuditedMetrics]:
    for one in document.languages:
        recall = one.estimate.recall if one.estimate else None
        yield _metrics(one.name, week, one.read, one.positives, recall, one.remarks)


def _estimated(one: _EstimatedLanguage, week: str) -> AuditedMetrics:
    estimate, remarks = one.estimate, one.estimate.remarks
    if estimate.recall and not one.flags_recall:
        remarks = (
            f"Recall of the flags is not given, since {one.flagged_unread:,} flagged posts were not read.",
            *remarks,
        )
    return _metrics(estimate.name, week, estimate.read, estimate.true_positives, one.flags_recall, remarks)


def _metrics(
    name: str, week: str, read: int, positives: int, recall: Estimate | None, remarks: Sequence[str]
) -> AuditedMetrics:
    return AuditedMetrics(
        week=week,
        language=name,
        read=read,
        positives=positives,
        precision=positives / read if read else None,
        precision_interval=share_interval(positives, read),
        recall=recall,
        recall_by_scores=None,
        remarks=tuple(remarks) if read else ("Nothing was read because of its score.", *remarks),
    )


def beside_scores(one: AuditedMetrics, by_scores: float | None) -> AuditedMetrics:
    """Audited metrics with the recall that the scores have, and a remark where that cannot be right."""
    remarks = one.remarks
    if one.recall and by_scores is not None and not one.recall.low <= by_scores <= one.recall.high:
        remarks = (
            *remarks,
            f"The scores alone have recall {by_scores:.2f}, outside {one.recall.low:.2f} to {one.recall.high:.2f}: the "
            "calibration does not hold for these posts, so neither do the label-free values.",
        )
    return one.model_copy(update={"recall_by_scores": by_scores, "remarks": remarks})
