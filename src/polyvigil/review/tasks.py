"""Which posts a person reads next: leases, second reviews first, posts put off, and the card that may be shown.

In comes a person; out come the next cards, leased to them for ten minutes. Two people never hold one task. A blind card
holds nothing of the model: no P, threshold, evidence, purpose, and not whether the post was flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review.known_posts import further_posts
from polyvigil.review.schema import batch, decision, lease, parked, post, scoring, task

LEASED_POSTS = 3
"""So many posts a person holds: the one on the screen and the next two."""
LEASE_SECONDS = 600.0
PARKED_SECONDS = 3600.0
"""A post that is put off comes back after so many."""
_MOST = 100


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks a person takes; empty: all."""

    language: str = ""
    type: str = ""
    purpose: str = ""
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """What a reviewer may see of a task. Of a blind one all fields behind ``copies`` are None."""

    task: int
    post: int
    source_id: str
    language: str
    type: str
    mode: str
    """blind or assisted"""
    text: str | None
    """As it may be shown (NUL and lone surrogates are U+FFFD); None where the store keeps no text."""
    added_at: str
    copies: int
    """Further posts of the language that read the same, which the decision is for too."""
    purpose: str | None = None
    bundle: str | None = None
    p: float | None = None
    p_calibrated: float | None = None
    threshold: float | None = None
    decision: int | None = None
    evidence: tuple[int, int] | None = None
    """Start and end in ``text`` of the sentence that carries the score."""


@dataclass(frozen=True, slots=True)
class TaskCount:
    """How many tasks of a language, purpose and state there are."""

    language: str
    purpose: str
    state: str
    n_tasks: int


def lease_next(
    connection: sa.Connection,
    *,
    now: float,
    reviewer: int,
    n: int = LEASED_POSTS,
    chosen: Filter | None = None,
    showing: Sequence[int] = (),
) -> list[Card]:
    """The next ``n`` cards of a person, leased to them: those they hold, second reviews, then the smallest rank.

    ``showing``: tasks that stay on the screen; they are renewed and not given again. In a writing transaction.
    """
    n = min(n, _MOST)
    connection.execute(sa.delete(lease).where(lease.c.until < now))
    until = now + LEASE_SECONDS
    connection.execute(sa.update(lease).where(lease.c.reviewer == reviewer).values(until=until))
    numbers = _held(connection, reviewer, chosen, showing)[:n]
    for state in ("second", "open"):
        if len(numbers) < n:
            numbers += _free(connection, now, reviewer, state, chosen, n - len(numbers))
    held = _leased_by(connection, reviewer)
    fresh = [{"task": number, "reviewer": reviewer, "until": until} for number in numbers if number not in held]
    if fresh:
        connection.execute(sa.insert(lease), fresh)
    return cards(connection, numbers)


def _leased_by(connection: sa.Connection, reviewer: int) -> set[int]:
    return set(connection.execute(sa.select(lease.c.task).where(lease.c.reviewer == reviewer)).scalars())


def _held(connection: sa.Connection, reviewer: int, chosen: Filter | None, showing: Sequence[int]) -> list[int]:
    """What the person holds already, in the order of reading; leases of tasks that are decided by now are dropped."""
    query = (
        sa.select(task.c.id)
        .join(lease, lease.c.task == task.c.id)
        .where(lease.c.reviewer == reviewer, task.c.id.not_in(showing), _is_due(reviewer))
        .order_by(task.c.state.desc(), task.c.rank, task.c.id)  # second before open
    )
    return list(connection.execute(_filtered(query, chosen)).scalars())


def _is_due(reviewer: int) -> sa.ColumnElement[bool]:
    """Whether a task waits for a decision of this person."""
    return sa.or_(task.c.state == "open", sa.and_(task.c.state == "second", task.c.first_reviewer != reviewer))


def _free(connection: sa.Connection, now: float, reviewer: int, state: str, chosen: Filter | None, n: int) -> list[int]:
    """Tasks in a state that nobody holds and this person has neither decided nor put off, the smallest rank first."""
    query = (
        sa.select(task.c.id)
        .where(
            task.c.state == state,
            _is_due(reviewer),
            ~sa.exists().where(lease.c.task == task.c.id),
            ~sa.exists().where(parked.c.task == task.c.id, parked.c.reviewer == reviewer, parked.c.until >= now),
        )
        .order_by(task.c.rank, task.c.id)
        .limit(n)
    )
    return list(connection.execute(_filtered(query, chosen)).scalars())


def _filtered(query: sa.Select[Any], chosen: Filter | None) -> sa.Select[Any]:
    if chosen is None:
        return query
    if chosen.language:
        query = query.where(task.c.language == chosen.language)
    if chosen.purpose:
        query = query.where(task.c.purpose == chosen.purpose, task.c.mode == "assisted")  # a blind one says no purpose
    if chosen.type or chosen.batch is not None:
        query = query.join(post, post.c.id == task.c.post)
        if chosen.type:
            query = query.where(post.c.type == chosen.type)
        if chosen.batch is not None:
            query = query.where(post.c.batch == chosen.batch)
    return query


def cards(connection: sa.Connection, numbers: Sequence[int], *, revealed: bool = False) -> list[Card]:
    """The cards of tasks, in the order given; a task that is not there is left out.

    ``revealed``: blind ones too with what the model says, for one who has decided them.
    """
    if not numbers:
        return []
    by_task = {row.id: _card(row, revealed=revealed) for row in connection.execute(_cards_query(numbers))}
    return [by_task[number] for number in numbers if number in by_task]


def _cards_query(numbers: Sequence[int]) -> sa.Select[Any]:
    return (
        sa.select(
            *(task.c.id, task.c.post, task.c.mode, task.c.purpose, task.c.language, task.c.bundle),
            *(post.c.source_id, post.c.type, post.c.text, batch.c.added_at, further_posts().label("copies")),
            *(scoring.c.p, scoring.c.p_calibrated, scoring.c.threshold, scoring.c.decision),
            *(scoring.c.evidence_start, scoring.c.evidence_end),
        )
        .join(post, post.c.id == task.c.post)
        .join(batch, batch.c.id == post.c.batch)
        .outerjoin(scoring, sa.and_(scoring.c.post == task.c.post, scoring.c.bundle == task.c.bundle))
        .where(task.c.id.in_(numbers))
    )


def _card(row: sa.Row[Any], *, revealed: bool) -> Card:
    shown = Card(
        task=row.id,
        post=row.post,
        source_id=row.source_id,
        language=row.language,
        type=row.type,
        mode=row.mode,
        text=row.text,
        added_at=row.added_at,
        copies=row.copies,
    )
    if row.mode == "blind" and not revealed:
        return shown
    has_evidence = row.evidence_start is not None and row.evidence_end is not None
    return replace(
        shown,
        purpose=row.purpose,
        bundle=row.bundle,
        p=row.p,
        p_calibrated=row.p_calibrated,
        threshold=row.threshold,
        decision=row.decision,
        evidence=(row.evidence_start, row.evidence_end) if has_evidence else None,
    )


def card_of(connection: sa.Connection, number: int, *, reviewer: int) -> Card:
    """The card of one task, with what the model says once this person has decided it. Raises ReviewError."""
    decided = connection.execute(
        sa.select(decision.c.seq).where(decision.c.task == number, decision.c.reviewer == reviewer)
    ).scalar()
    shown = cards(connection, [number], revealed=decided is not None)
    if not shown:
        raise ReviewError("no_task", "there is no such post in the store")
    return shown[0]


def release(connection: sa.Connection, *, reviewer: int) -> None:
    """Give back all that a person holds, as when they sign out."""
    connection.execute(sa.delete(lease).where(lease.c.reviewer == reviewer))


def task_counts(connection: sa.Connection) -> list[TaskCount]:
    """How many tasks there are of each language, purpose and state; those of a batch that is being loaded apart."""
    query = (
        sa.select(task.c.language, task.c.purpose, task.c.state, sa.func.count())
        .where(task.c.state != "new")
        .group_by(task.c.language, task.c.purpose, task.c.state)
        .order_by(task.c.language, task.c.purpose, task.c.state)
    )
    return [TaskCount(*row) for row in connection.execute(query)]


def waiting(connection: sa.Connection, *, reviewer: int, chosen: Filter | None = None, limit: int = 50) -> list[Card]:
    """The posts that a person would be given next, as a list; nothing is leased. For the table of the queue."""
    numbers: list[int] = []
    for state in ("second", "open"):
        query = sa.select(task.c.id).where(task.c.state == state, _is_due(reviewer))
        query = _filtered(query, chosen).order_by(task.c.rank, task.c.id).limit(limit - len(numbers))
        numbers += connection.execute(query).scalars()
        if len(numbers) >= limit:
            break
    return cards(connection, numbers)
