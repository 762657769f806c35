"""Which posts of a batch become tasks, for what purpose, blind or not, for how many people, and in what order.

Flagged posts make the queue, the likeliest first, those that read the same once. A sample of the cleared ones is the
audit, whose tasks are always blind. So that a blind card does not say "the model cleared this", a share of the queue is
blind too, and all blind ones stand at random among the others. Some blind ones go to two people.

Tasks are made invisible (state ``new``), then said in the log, then opened in small transactions; a killed import goes
on at either.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from polyvigil.config.review import ReviewSpec
from polyvigil.review.bulk import insert_rows, next_id
from polyvigil.review.event_log import append
from polyvigil.review.frames import AuditFrame, AuditRound, audit_frame, possible_size, sample_frame
from polyvigil.review.schema import ONE_REVIEW, SECOND_FOR_ADE, TWO_REVIEWS, batch, post, scoring, task
from polyvigil.review.store import Store

_ROWS, _PAUSE = 2_000, 0.02
_MOST_SEED = 2**31
_FIRST_OF_TEXT = sa.func.coalesce(post.c.copy_of, post.c.id)
"""Of posts that read the same the first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A post that becomes a task. ``p_calibrated`` orders the queue."""

    post: int
    language: str
    p_calibrated: float
    purpose: str
    inclusion: float = 1.0
    stratum: str = ""
    """What the post was chosen from: the scored posts of a worklist; empty: the batch."""


@dataclass(frozen=True, slots=True)
class MadeTasks:
    """What was made."""

    tasks: int
    queue: int
    audit: int
    double: int
    round: AuditRound
    """The audit's draw; of size 0 where there is none."""


def choose_posts(
    connection: sa.Connection, number: int, spec: ReviewSpec, *, seed: int
) -> tuple[list[Choice], AuditRound]:
    """The flagged posts of a batch's bundle that are not tasks yet, and an audit of those that it cleared."""
    frame = audit_frame(connection, number)
    one = AuditRound(possible_size(frame, spec.audit), seed)
    return [*_flagged(connection, frame.bundle), *audit_choices(frame, one)], one


def audit_choices(frame: AuditFrame, one: AuditRound) -> list[Choice]:
    """The posts of a draw."""
    if not one.size:
        return []
    sampled, inclusion = sample_frame(frame, one)
    return [
        Choice(int(frame.posts[n]), str(frame.languages[n]), float(frame.calibrated[n]), "audit", float(inclusion[n]))
        for n in np.flatnonzero(sampled)
    ]


def _flagged(connection: sa.Connection, bundle: str) -> list[Choice]:
    """Flagged posts without a task, of posts that read the same the first."""
    seen = posts_with_tasks(connection)
    query = (
        sa.select(post.c.id, _FIRST_OF_TEXT, post.c.language, scoring.c.p_calibrated)
        .join(scoring, scoring.c.post == post.c.id)
        .where(scoring.c.bundle == bundle, scoring.c.decision == 1)
        .order_by(post.c.id)
    )
    chosen = []
    for number, root, language, p_calibrated in connection.execute(query):
        if root not in seen:
            seen.add(root)
            chosen.append(Choice(number, language, p_calibrated, "queue"))
    return chosen


def posts_with_tasks(connection: sa.Connection) -> set[int]:
    """The posts, of each text the first, that are or were to be read and are not closed."""
    query = sa.select(_FIRST_OF_TEXT).join(task, task.c.post == post.c.id)
    return set(connection.execute(query.where(task.c.state.not_in(("closed", "new")))).scalars())


def store_tasks(store: Store, choices: Sequence[Choice], bundle: str, spec: ReviewSpec, one: AuditRound) -> MadeTasks:
    """Store choices as tasks that are not to be seen yet. What an import that was killed left there is removed."""
    rows, n_double = _task_rows(choices, bundle, spec, one.seed)
    with store.database.write() as connection:
        connection.execute(sa.delete(task).where(task.c.state == "new"))
    for start in range(0, len(rows), _ROWS):
        with store.database.write() as connection:
            first = next_id(connection, task.c.id)
            chunk = rows[start : start + _ROWS]
            insert_rows(connection, task, [(first + n, *row) for n, row in enumerate(chunk)])
        time.sleep(_PAUSE if start else 0.0)
    n_audit = sum(choice.purpose == "audit" for choice in choices)
    return MadeTasks(len(rows), sum(choice.purpose == "queue" for choice in choices), n_audit, n_double, one)


def _task_rows(
    choices: Sequence[Choice], bundle: str, spec: ReviewSpec, seed: int
) -> tuple[list[tuple[Any, ...]], int]:
    """The rows of ``task`` without their ids, in the order of rank, and how many are read by two people."""
    random = np.random.default_rng([seed, 1])
    ranks = np.array([1 - choice.p_calibrated for choice in choices if choice.purpose != "audit"] or [0.0, 1.0])
    blind_share = max(spec.blind_share, spec.double)
    blind = random.random(len(choices)) < blind_share
    n_blind = max(int(sum(is_blind or one.purpose == "audit" for one, is_blind in zip(choices, blind, strict=True))), 1)
    double = random.random(len(choices)) < min(spec.double * len(choices) / n_blind, 1.0)
    rows, n_double = [], 0
    for n, choice in enumerate(choices):
        is_blind = bool(blind[n]) or choice.purpose == "audit"
        reviews = TWO_REVIEWS if is_blind and double[n] else ONE_REVIEW
        n_double += reviews == TWO_REVIEWS
        if choice.purpose == "audit" and reviews == ONE_REVIEW:
            reviews = SECOND_FOR_ADE
        rank = float(random.choice(ranks)) if is_blind else 1 - choice.p_calibrated
        mode = "blind" if is_blind else "assisted"
        cells = (choice.post, bundle, choice.purpose, mode, choice.inclusion, choice.stratum, rank, choice.language)
        rows.append((*cells, reviews, "new", None, None))
    return sorted(rows, key=lambda row: row[6]), n_double


def announce_tasks(
    connection: sa.Connection, store: Store, *, kind: str, number: int, made: MadeTasks, body: dict[str, Any]
) -> int:
    """Say in the log that tasks were made, and close those that the bundle no longer flags. Returns how many."""
    closed = _close_unflagged(connection, number) if kind == "add" else 0
    counts = {"batch": number, "tasks": made.tasks, "queue": made.queue, "double": made.double, "closed": closed}
    counts |= {"audit": made.round.size, "seed": made.round.seed}
    append(connection, now=store.clock(), reviewer=0, kind=kind, body=body | counts)
    connection.execute(sa.update(batch).where(batch.c.id == number).values(state="tasks"))
    return closed


def _close_unflagged(connection: sa.Connection, number: int) -> int:
    """Close open tasks of the queue whose posts this batch's bundle has scored again and clears."""
    bundle = connection.execute(sa.select(batch.c.bundle).where(batch.c.id == number)).scalar_one()
    cleared = (
        sa.select(task.c.id)
        .join(scoring, sa.and_(scoring.c.post == task.c.post, scoring.c.bundle == bundle))
        .where(task.c.state == "open", task.c.purpose == "queue", task.c.bundle != bundle, scoring.c.decision == 0)
    )
    return connection.execute(sa.update(task).where(task.c.id.in_(cleared)).values(state="closed")).rowcount


def open_tasks(store: Store, number: int) -> None:
    """Let reviewers see the tasks that were announced."""
    while True:
        with store.database.write() as connection:
            new = sa.select(task.c.id).where(task.c.state == "new").order_by(task.c.rank, task.c.id).limit(_ROWS)
            opened = connection.execute(sa.update(task).where(task.c.id.in_(new)).values(state="open")).rowcount
            if opened < _ROWS:
                connection.execute(sa.update(batch).where(batch.c.id == number).values(state="ready"))
                return
        time.sleep(_PAUSE)


def open_announced(store: Store) -> None:
    """Open the tasks of batches whose import was killed behind their announcement."""
    with store.read() as connection:
        numbers = connection.execute(sa.select(batch.c.id).where(batch.c.state == "tasks")).scalars().all()
    for number in numbers:
        open_tasks(store, number)


def seed_of(text: str) -> int:
    """The seed of a batch's draws, from the SHA-256 of its file."""
    return int(text[:8], 16) % _MOST_SEED
