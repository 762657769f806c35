"""Tasks whose verdicts differ, or on which one was unsure: what a lead sees of them and decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review import event_log
from polyvigil.review.event_log import append, event_of_key
from polyvigil.review.notes import kept_text
from polyvigil.review.people import active_person
from polyvigil.review.schema import LABELS, decision, event, note, person, task
from polyvigil.review.states import Outcome, active_decisions, set_state, task_row


@dataclass(frozen=True, slots=True)
class Conflict:
    """A task for a lead: the verdicts in the order in which they were given, without names."""

    task: int
    language: str
    verdicts: tuple[str, ...]
    reviewers: tuple[int, ...]
    decided_at: str


def conflicts(connection: sa.Connection, *, lead: int, limit: int = 100) -> list[Conflict]:
    """The tasks that wait for a lead and that this lead may decide, the oldest first."""
    query: sa.Select[Any] = (
        sa.select(task.c.id, task.c.language, decision.c.verdict, decision.c.reviewer, event.c.at)
        .join(decision, decision.c.task == task.c.id)
        .join(event, event.c.seq == decision.c.seq)
        .where(task.c.state == "conflict")
        .order_by(task.c.id, decision.c.seq)
    )
    rows: dict[int, list[sa.Row[Any]]] = {}
    for row in connection.execute(query):
        rows.setdefault(row.id, []).append(row)
    made = [
        Conflict(
            number,
            of_task[0].language,
            tuple(row.verdict for row in of_task),
            tuple(row.reviewer for row in of_task),
            of_task[-1].at,
        )
        for number, of_task in rows.items()
    ]
    leads = _leads(connection)
    allowed = [one for one in made if lead not in one.reviewers or not leads - set(one.reviewers)]
    return sorted(allowed, key=lambda one: one.decided_at)[:limit]


def _leads(connection: sa.Connection) -> set[int]:
    query = sa.select(person.c.id).where(person.c.role == "lead", person.c.revoked_at.is_(None))
    return set(connection.execute(query).scalars())


def adjudicate(
    connection: sa.Connection,
    *,
    now: float,
    mac_key: bytes,
    lead: int,
    number: int,
    verdict: str,
    reason: str,
    key: str,
) -> Outcome:
    """A lead's verdict on a conflict, with its reason. Raises ReviewError: no_task, decided, role, usage.

    A lead who is one of the two reviewers may do it only where there is no other lead.
    """
    active_person(connection, lead, roles=("lead",))
    if verdict not in LABELS:
        raise ReviewError("usage", f"a lead decides: {' or '.join(LABELS)}", where="verdict")
    if made := event_of_key(connection, key, reviewer=lead, kind="adjudicate", task=number):
        return Outcome(made.seq, True, number)
    row = task_row(connection, number)
    if row.state != "conflict":
        raise ReviewError("decided", "there is no conflict on this post", hint="the next one is ready")
    active = active_decisions(connection, number)
    reviewers = {one.reviewer for one in active}
    if lead in reviewers and _leads(connection) - reviewers:
        raise ReviewError("role", "another lead decides this one: you are one of its reviewers")
    kept = kept_text(reason, where="reason")
    body = {"verdict": verdict, "reason_mac": event_log.keyed_hash(mac_key, kept).hex()}
    one = append(connection, now=now, reviewer=lead, kind="adjudicate", task=number, body=body, key=key)
    connection.execute(sa.insert(note).values(seq=one.seq, text=kept))
    set_state(connection, row, active, adjudicated=verdict)
    return Outcome(one.seq, False, number)
