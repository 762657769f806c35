"""What the pages count and look up beside the store's own questions: today's decisions, a person's last ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review import tasks
from polyvigil.review.event_log import Event, head
from polyvigil.review.schema import batch, decision, event, lease, person, task, utc_text
from polyvigil.review.states import ActiveDecision, active_decisions
from polyvigil.review.tasks import Card

_DAY = 86_400
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class LanguageCount:
    """A row of the queue's table."""

    language: str
    flagged_left: int
    audit_left: int
    learn_left: int
    audit_done: int
    done_today: int
    last_hour: int


def language_counts(connection: sa.Connection, *, now: float) -> list[LanguageCount]:
    """Of each language what is left to read, and what was decided today (UTC) and in the last hour."""
    counts: dict[str, Counter[str]] = {}
    for row in tasks.task_counts(connection):
        is_left = row.state in ("open", "second")
        name = f"{row.purpose} left" if is_left else f"{row.purpose} done" if row.state in ("done", "conflict") else ""
        counts.setdefault(row.language, Counter())[name] += row.n_tasks
    for name, start in (("today", now - now % _DAY), ("hour", now - _HOUR)):
        for language, n in _decided_after(connection, start):
            counts.setdefault(language, Counter())[name] += n
    return [
        LanguageCount(
            language,
            of["queue left"],
            of["audit left"],
            of["learn left"],
            of["audit done"],
            of["today"],
            of["hour"],
        )
        for language, of in sorted(counts.items())
    ]


def _decided_after(connection: sa.Connection, start: float) -> list[tuple[str, int]]:
    """(language, number of decisions since a time that stand)."""
    query = (
        sa.select(task.c.language, sa.func.count())
        .join(decision, decision.c.task == task.c.id)
        .where(decision.c.seq >= first_seq_at(connection, utc_text(start)))
        .group_by(task.c.language)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def first_seq_at(connection: sa.Connection, at: str) -> int:
    """The first event at a time or behind it, by bisection: events are in the order of time and have no gaps."""
    low, high = 1, head(connection).seq + 1
    while low < high:
        middle = (low + high) // 2
        at_middle = connection.execute(sa.select(event.c.at).where(event.c.seq == middle)).scalar()
        if at_middle is None or at_middle < at:
            low = middle + 1
        else:
            high = middle
    return low


@dataclass(frozen=True, slots=True)
class PersonDecision:
    """A decision of a person that stands."""

    seq: int
    at: str
    verdict: str
    card: Card


def person_decisions(connection: sa.Connection, *, reviewer: int, limit: int = 10) -> list[PersonDecision]:
    """The last decisions of a person that stand, the newest first."""
    query = (
        sa.select(event.c.seq, event.c.at, event.c.task, decision.c.verdict)
        .join(decision, sa.and_(decision.c.seq == event.c.seq, decision.c.reviewer == event.c.reviewer))
        .where(event.c.reviewer == reviewer)
        .order_by(event.c.seq.desc())
        .limit(limit)
    )
    rows = connection.execute(query).all()
    shown = {card.task: card for card in tasks.cards(connection, [row.task for row in rows], revealed=True)}
    return [PersonDecision(row.seq, row.at, row.verdict, shown[row.task]) for row in rows if row.task in shown]


def days_of_decisions(connection: sa.Connection) -> int:
    """On how many days (UTC) something was decided."""
    day = sa.func.substr(event.c.at, 1, 10)
    query = sa.select(sa.func.count(sa.distinct(day))).where(event.c.kind.in_(("decide", "adjudicate")))
    return connection.execute(query).scalar_one()


def batches(connection: sa.Connection) -> list[tuple[int, str]]:
    """(id, file name) of the files that are in the store."""
    query = sa.select(batch.c.id, batch.c.file_name).where(batch.c.state == "ready").order_by(batch.c.id)
    return [(row.id, row.file_name) for row in connection.execute(query)]


def person_names(connection: sa.Connection) -> dict[int, str]:
    """The names of all people by their number in the log; 0 is a command."""
    return {0: "command"} | {row.id: row.name for row in connection.execute(sa.select(person.c.id, person.c.name))}


def person_decision(connection: sa.Connection, number: int, *, reviewer: int) -> ActiveDecision | None:
    """The decision of a person that stands on a task; None where they may decide it now.

    Raises ReviewError where there is no such task, or it is decided by others or held by one.
    """
    row = connection.execute(sa.select(task).where(task.c.id == number, task.c.state != "new")).one_or_none()
    if row is None:
        raise ReviewError("no_task", "there is no such post in the store")
    for one in active_decisions(connection, number):
        if one.reviewer == reviewer:
            return one
    if row.state not in ("open", "second"):
        raise ReviewError("decided", "this post is decided", hint="the next one is ready")
    return None


def hold_task(connection: sa.Connection, *, now: float, reviewer: int, number: int) -> None:
    """Lease one task that a person has chosen, in a writing transaction. Raises ReviewError where another has it."""
    connection.execute(sa.delete(lease).where(lease.c.task == number, lease.c.until < now))
    holder = connection.execute(sa.select(lease.c.reviewer).where(lease.c.task == number)).scalar()
    if holder is None:
        connection.execute(sa.insert(lease).values(task=number, reviewer=reviewer, until=now + tasks.LEASE_SECONDS))
    elif holder != reviewer:
        raise ReviewError("not_yours", "another person has this post on the screen", hint="the next one is ready")


def unfinished(connection: sa.Connection, numbers: Sequence[int]) -> set[int]:
    """Those of the tasks that wait for a second reviewer, whose first verdict nobody may see yet."""
    query = sa.select(task.c.id).where(task.c.id.in_(numbers), task.c.state == "second")
    return set(connection.execute(query).scalars()) if numbers else set()


def details(one: Event, *, hides: bool) -> dict[str, Any]:
    """What the log page says of an event: never a score, and no verdict that a second reviewer must not know."""
    body = one.fields()
    known = ("verdict", "criteria", "serious", "seconds", "copies", "takes_back", "language", "role", "action")
    kept = {name: body[name] for name in (*known, "tasks", "closed", "sha256") if body.get(name) not in (None, "", [])}
    if hides:
        kept = {name: value for name, value in kept.items() if name not in ("verdict", "criteria", "serious")}
    return {name: value for name, value in kept.items() if value is not False and (name != "copies" or value)}
