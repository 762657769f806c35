"""What the decisions say: precision counted, recall estimated from the audit, agreement, and how the reading goes.

In: a store. Out: ``ReviewMetrics``. Precision is of flagged posts that were read. Recall, F1 and missed ADEs are
estimated from the audit (evaluation.audit_estimate), which refuses where it cannot carry a value; here they are refused
too while flagged or audited posts are still to be read, since what is read first is not like the rest. Agreement is of
posts that two people read blind. Posts picked for learning count nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from polyvigil.evaluation.agreement import Agreement, agreement
from polyvigil.evaluation.audit_estimate import AuditEstimate, AuditPart, combined_days, estimate_audit
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.evaluation.rate_curve import logits
from polyvigil.review.event_log import Head, head
from polyvigil.review.frames import AuditFrame, AuditRound, audit_frame, rounds_of, union_inclusion, worklist_batches
from polyvigil.review.schema import LABELS, TWO_REVIEWS, batch, decision, event, post, scoring, task
from polyvigil.review.store import Store
from polyvigil.types import Frozen

ALL = "all"
"""The name of all languages together."""
_QUICK = 2.0
"""Seconds below which a decision can hardly have been read for."""
_NO_AUDIT = "Not estimated: no audit of its unread posts was drawn here; a store of whole scored files draws one."


class LanguageMetrics(Frozen):
    """One language, or all together. Numbers are of texts: a text that stands twice counts once."""

    name: str
    flagged: int
    read: int
    """Flagged posts with a label."""
    to_read: int
    """Flagged posts without."""
    positives: int
    precision: float | None
    precision_interval: Interval
    audit_to_read: int
    estimate: AuditEstimate | None
    """Recall, F1, missed ADEs; None where it is refused before anything is computed."""
    recall_by_scores: float | None
    """The share of the expected ADEs that is flagged, as the calibrated scores alone have it; no estimate."""
    remarks: tuple[str, ...]


class Reading(Frozen):
    """How the reading goes."""

    decisions: int
    reviewers: int
    median_seconds: float | None
    quick_share: float | None
    """The share of decisions made in under two seconds."""
    days: dict[str, int]
    """Decisions of each day (UTC)."""


class ReviewMetrics(Frozen):
    """What a store's decisions say, and the head of the log that they are of."""

    store: str
    head_seq: int
    head: str
    at: str
    languages: tuple[LanguageMetrics, ...]
    """Each language by name, then all together."""
    agreement: Agreement | None
    """Of posts that two people read blind; None without any."""
    reading: Reading


@dataclass(frozen=True, slots=True)
class _Tasks:
    """The tasks of one batch for one purpose; arrays of shape (n_tasks,)."""

    posts: NDArray[np.int64]
    languages: NDArray[np.str_]
    calibrated: NDArray[np.float64]
    labels: NDArray[np.int8]
    """-1 where there is none yet."""


@dataclass(slots=True)
class _Language:
    """What is gathered of a language over its batches."""

    flagged: int = 0
    read: int = 0
    positives: int = 0
    audit_to_read: int = 0
    expected: float = 0.0
    expected_flagged: float = 0.0
    parts: list[AuditPart] | None = None
    has_unaudited: bool = False


def measure(store: Store, *, looks: int = 1) -> ReviewMetrics:
    """All metrics of a store. ``looks``: how often recall is looked at while the audit grows; intervals widen by it."""
    with store.read() as connection:
        at: Head = head(connection)
        moment = connection.execute(sa.select(event.c.at).where(event.c.seq == at.seq)).scalar() or ""
        gathered: dict[str, _Language] = {}
        rounds, worklists = rounds_of(connection), worklist_batches(connection)
        ready = sa.select(batch.c.id).where(batch.c.state == "ready").order_by(batch.c.id)
        for number in connection.execute(ready).scalars().all():
            _gather(connection, number, rounds.get(number, []), gathered, is_worklist=number in worklists)
        names = sorted(gathered)
        languages = [_measured(name, [gathered[name]], looks) for name in names]
        everything = [_measured(ALL, [gathered[name] for name in names], looks)] if names else []
        return ReviewMetrics(
            store=store.id,
            head_seq=at.seq,
            head=at.hash,
            at=moment,
            languages=(*languages, *everything),
            agreement=_agreement(connection),
            reading=_reading(connection),
        )


def _gather(
    connection: sa.Connection,
    number: int,
    rounds: Sequence[AuditRound],
    gathered: dict[str, _Language],
    *,
    is_worklist: bool,
) -> None:
    """Add a batch to the languages that it has."""
    frame = audit_frame(connection, number)
    queue, audit = _tasks(connection, number, "queue"), _tasks(connection, number, "audit")
    learned = np.isin(frame.posts, _tasks(connection, number, "learn").posts)
    inclusion = union_inclusion(frame, rounds)
    untrained = _untrained(connection, number)
    for name in sorted({*frame.languages.tolist(), *queue.languages.tolist(), *audit.languages.tolist()}):
        one = gathered.setdefault(name, _Language())
        flagged, audited = queue.languages == name, audit.languages == name
        has_label = flagged & (queue.labels >= 0)
        one.flagged += int(flagged.sum())
        one.read += int(has_label.sum())
        one.positives += int((queue.labels[has_label] == 1).sum())
        one.audit_to_read += int((audit.labels[audited] < 0).sum())
        here = (frame.languages == name) & ~learned
        one.expected_flagged += float(queue.calibrated[flagged].sum())
        one.expected += float(queue.calibrated[flagged].sum() + frame.calibrated[here].sum())
        if is_worklist or (inclusion[here] <= 0).any():
            one.has_unaudited = True
            continue
        if flagged.any() or here.any():
            one.parts = [*(one.parts or ()), _part(name, frame, inclusion, queue, audit, here, name not in untrained)]


def _part(
    name: str,
    frame: AuditFrame,
    inclusion: NDArray[np.float64],
    queue: _Tasks,
    audit: _Tasks,
    here: NDArray[np.bool_],
    is_trained: bool,
) -> AuditPart:
    """A language of a batch as the estimators take it. ``here``: which posts of the frame are of it."""
    flagged, audited = queue.languages == name, audit.languages == name
    has_label = flagged & (queue.labels >= 0)
    labels = dict(zip(audit.posts[audited].tolist(), audit.labels[audited].tolist(), strict=True))
    of_frame = np.array([labels.get(identity, -1) for identity in frame.posts[here].tolist()], dtype=np.int8)
    return AuditPart(
        language=name,
        bundle=frame.bundle,
        read=logits(queue.calibrated[has_label]),
        read_labels=queue.labels[has_label],
        frame=logits(frame.calibrated[here]),
        inclusion=inclusion[here],
        audited=of_frame >= 0,
        audit_labels=of_frame[of_frame >= 0],
        threshold=float(logits(queue.calibrated[flagged] if flagged.any() else frame.calibrated[here]).min()),
        is_trained=is_trained,
    )


def _tasks(connection: sa.Connection, number: int, purpose: str) -> _Tasks:
    query = (
        sa.select(task.c.post, task.c.language, scoring.c.p_calibrated, task.c.label)
        .join(post, post.c.id == task.c.post)
        .join(scoring, sa.and_(scoring.c.post == task.c.post, scoring.c.bundle == task.c.bundle))
        .where(post.c.batch == number, task.c.purpose == purpose, task.c.state != "new")
        .order_by(task.c.post)
    )
    rows = connection.execute(query).all()
    return _Tasks(
        posts=np.array([row.post for row in rows], dtype=np.int64),
        languages=np.array([row.language for row in rows], dtype=str),
        calibrated=np.array([row.p_calibrated for row in rows], dtype=np.float64),
        labels=np.array([-1 if row.label is None else row.label for row in rows], dtype=np.int8),
    )


def _untrained(connection: sa.Connection, number: int) -> set[str]:
    """Languages of a batch that its bundle was not trained on, by the flags of its scores."""
    query = (
        sa.select(post.c.language)
        .distinct()
        .join(scoring, scoring.c.post == post.c.id)
        .where(post.c.batch == number, scoring.c.flags.like("%language_not_trained%"))
    )
    return set(connection.execute(query).scalars())


def _measured(name: str, parts: Sequence[_Language], looks: int) -> LanguageMetrics:
    """The metrics of one language, or of several together."""
    flagged, read = sum(one.flagged for one in parts), sum(one.read for one in parts)
    positives, audit_to_read = sum(one.positives for one in parts), sum(one.audit_to_read for one in parts)
    expected, expected_flagged = sum(one.expected for one in parts), sum(one.expected_flagged for one in parts)
    refusals = list(_refusals(flagged - read, audit_to_read, any(one.has_unaudited for one in parts)))
    estimate = None
    if not refusals:
        audit_parts = combined_days([part for one in parts for part in one.parts or ()])
        estimate = estimate_audit(audit_parts, name=name, looks=looks)
    by_scores = expected_flagged / expected if expected else None
    return LanguageMetrics(
        name=name,
        flagged=flagged,
        read=read,
        to_read=flagged - read,
        positives=positives,
        precision=positives / read if read else None,
        precision_interval=share_interval(positives, read),
        audit_to_read=audit_to_read,
        estimate=estimate,
        recall_by_scores=by_scores,
        remarks=(*refusals, *(estimate.remarks if estimate else ()), *_contradiction(estimate, by_scores)),
    )


def _refusals(to_read: int, audit_to_read: int, has_unaudited: bool) -> Iterator[str]:
    """Why recall is not estimated, in plain sentences."""
    if has_unaudited:
        yield _NO_AUDIT
    if to_read:
        yield f"Not estimated: {to_read:,} flagged posts are still to be read, and what is read first is the likeliest."
    if audit_to_read:
        yield f"Not estimated: {audit_to_read:,} posts of the audit are still to be read."


def _contradiction(estimate: AuditEstimate | None, by_scores: float | None) -> Iterator[str]:
    recall = estimate.recall if estimate else None
    if recall and by_scores is not None and not recall.low <= by_scores <= recall.high:
        yield (
            f"The scores alone would have recall {by_scores:.2f}, outside the interval {recall.low:.2f} to "
            f"{recall.high:.2f}: the calibration does not hold for these posts."
        )


def _agreement(connection: sa.Connection) -> Agreement | None:
    """Of tasks that two people read blind, by the order in which they did; who was unsure is left out.

    So is a task of which a decision was taken back: the pages show what the model said once one is made, so the next
    one is not blind.
    """
    taken_back = sa.select(event.c.task).where(event.c.kind == "undo", event.c.task.is_not(None))
    query = (
        sa.select(decision.c.task, decision.c.verdict)
        .join(task, task.c.id == decision.c.task)
        .where(task.c.reviews == TWO_REVIEWS, task.c.mode == "blind", task.c.purpose != "learn")
        .where(task.c.id.not_in(taken_back))
        .order_by(decision.c.task, decision.c.seq)
    )
    verdicts: dict[int, list[str]] = {}
    for number, verdict in connection.execute(query):
        verdicts.setdefault(number, []).append(verdict)
    pairs = [pair for pair in verdicts.values() if len(pair) == 2 and set(pair) <= LABELS.keys()]
    if not pairs:
        return None
    return agreement([LABELS[first] for first, _ in pairs], [LABELS[second] for _, second in pairs])


def _reading(connection: sa.Connection) -> Reading:
    """How fast decisions that stand were made, and when."""
    query = (
        sa.select(event.c.at, event.c.reviewer, event.c.body)
        .join(decision, decision.c.seq == event.c.seq)
        .order_by(event.c.seq)
    )
    seconds: list[float] = []
    days: dict[str, int] = {}
    reviewers: set[int] = set()
    for at, reviewer, body in connection.execute(query):
        days[at[:10]] = days.get(at[:10], 0) + 1
        reviewers.add(reviewer)
        if given := json.loads(body).get("seconds"):
            seconds.append(float(given))
    return Reading(
        decisions=sum(days.values()),
        reviewers=len(reviewers),
        median_seconds=float(np.median(seconds)) if seconds else None,
        quick_share=sum(one < _QUICK for one in seconds) / len(seconds) if seconds else None,
        days=days,
    )
