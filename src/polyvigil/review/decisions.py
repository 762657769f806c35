"""What a reviewer does with a post: decide, take back, put off.

In comes a request with a key that the page made; out goes the ``seq`` of the event that holds it. Every function runs
in a writing transaction, checks everything and then writes, so a ReviewError leaves nothing behind. A request that is
sent again is answered with its first event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review import event_log
from polyvigil.review.event_log import Event, append, event_of_key
from polyvigil.review.known_posts import further_posts
from polyvigil.review.people import DECIDING, active_person
from polyvigil.review.schema import VERDICTS, decision, event, lease, parked, post, scoring
from polyvigil.review.states import ActiveDecision, Outcome, active_decisions, adjudication, set_state, task_row
from polyvigil.review.tasks import LEASE_SECONDS, PARKED_SECONDS

CRITERIA = (1, 2, 3, 4)
"""Of a report: an identifiable reporter, a patient, a suspected drug, an event."""
_UNDO_DEPTH = 2_000


def decide(
    connection: sa.Connection,
    *,
    now: float,
    reviewer: int,
    number: int,
    verdict: str,
    key: str,
    seconds: float | None = None,
    criteria: Sequence[int] = (),
    serious: bool = False,
) -> Outcome:
    """A person's verdict on the task ``number``. Raises ReviewError: no_task, decided, not_yours, role, usage.

    ``seconds``: how long they looked at it. A late decision counts as long as nobody else holds the task.
    """
    active_person(connection, reviewer, roles=DECIDING)
    if verdict not in VERDICTS:
        raise ReviewError("usage", f"a verdict is one of {', '.join(VERDICTS)}", where="verdict")
    if not set(criteria) <= set(CRITERIA):
        raise ReviewError("usage", "criteria are numbers from 1 to 4", where="criteria")
    if made := event_of_key(connection, key, reviewer=reviewer, kind="decide", task=number):
        return Outcome(made.seq, True, number)
    row = task_row(connection, number)
    active = active_decisions(connection, number)
    _check_due(connection, row, active, reviewer, now)
    body = _shown(connection, row) | {
        "verdict": verdict,
        "seconds": "" if seconds is None else f"{min(max(seconds, 0.0), 86_400.0):.1f}",
        "criteria": sorted(set(criteria)),
        "serious": bool(serious),
    }
    one = append(connection, now=now, reviewer=reviewer, kind="decide", task=number, body=body, key=key)
    values = {"task": number, "reviewer": reviewer, "verdict": verdict, "seq": one.seq}
    connection.execute(sa.insert(decision).values(values))
    set_state(connection, row, [*active, ActiveDecision(one.seq, reviewer, verdict)])
    connection.execute(sa.delete(lease).where(lease.c.task == number))
    connection.execute(sa.update(lease).where(lease.c.reviewer == reviewer).values(until=now + LEASE_SECONDS))
    return Outcome(one.seq, False, number)


def _check_due(
    connection: sa.Connection, row: sa.Row[Any], active: Sequence[ActiveDecision], reviewer: int, now: float
) -> None:
    """Raise ReviewError unless the task waits for a decision of this person."""
    if any(one.reviewer == reviewer for one in active):
        raise ReviewError("decided", "you have decided this post already", hint="u takes a decision back")
    if row.state == "closed":
        raise ReviewError("decided", "a newer bundle no longer flags this post", hint="the next one is ready")
    if row.state not in ("open", "second"):
        raise ReviewError("decided", "another person decided this post", hint="the next one is ready")
    holder = connection.execute(
        sa.select(lease.c.reviewer).where(lease.c.task == row.id, lease.c.until >= now)
    ).scalar()
    if holder is not None and holder != reviewer:
        raise ReviewError("not_yours", "another person has this post on the screen", hint="the next one is ready")


def _shown(connection: sa.Connection, row: sa.Row[Any]) -> dict[str, Any]:
    """What the reviewer was shown, for the log, and for how many posts the decision is."""
    scored = connection.execute(
        sa.select(scoring.c.p, scoring.c.threshold).where(scoring.c.post == row.post, scoring.c.bundle == row.bundle)
    ).one_or_none()
    copies = connection.execute(sa.select(further_posts()).select_from(post).where(post.c.id == row.post)).scalar_one()
    return {
        "mode": row.mode,
        "bundle": row.bundle,
        "p": repr(float(scored.p)) if scored else "",
        "threshold": repr(float(scored.threshold)) if scored else "",
        "copies": copies,
    }


def undo(connection: sa.Connection, *, now: float, reviewer: int, key: str, seq: int | None = None) -> Outcome:
    """Take back a person's last decision or adjudication that stands, or that of ``seq``; as often as there are any.

    Raises ReviewError: undo_blocked where there is none, or where another person's decision stands on it.
    """
    active_person(connection, reviewer, roles=DECIDING)
    if made := event_of_key(connection, key, reviewer=reviewer, kind="undo", task=None):
        return Outcome(made.seq, True, made.task)
    one = _last_active(connection, reviewer) if seq is None else _active_event(connection, reviewer, seq)
    if one is None or one.task is None:
        raise ReviewError("undo_blocked", "there is nothing of yours to take back")
    row, active = task_row(connection, one.task), active_decisions(connection, one.task)
    verdict = adjudication(connection, one.task)
    if one.kind == "decide":
        if verdict is not None or any(other.seq > one.seq for other in active):
            raise ReviewError("undo_blocked", "another person's decision stands on this one", hint="ask a lead")
        active = [other for other in active if other.seq != one.seq]
        connection.execute(sa.delete(decision).where(decision.c.task == one.task, decision.c.reviewer == reviewer))
    body = {"takes_back": one.seq, "kind": one.kind}
    taken = append(connection, now=now, reviewer=reviewer, kind="undo", task=one.task, body=body, key=key)
    set_state(connection, row, active)
    if one.kind == "decide":
        _hold(connection, one.task, reviewer, now)
    return Outcome(taken.seq, False, one.task)


def _hold(connection: sa.Connection, number: int, reviewer: int, now: float) -> None:
    """Lease a task that is back on somebody's screen to them, unless another person has it on theirs."""
    connection.execute(sa.delete(lease).where(lease.c.task == number, lease.c.until < now))
    if connection.execute(sa.select(lease.c.task).where(lease.c.task == number)).scalar() is None:
        connection.execute(sa.insert(lease).values(task=number, reviewer=reviewer, until=now + LEASE_SECONDS))


def _last_active(connection: sa.Connection, reviewer: int) -> Event | None:
    """The newest event of a person that can be taken back."""
    query = (
        sa.select(event)
        .where(event.c.reviewer == reviewer, event.c.kind.in_(("decide", "adjudicate", "undo")))
        .order_by(event.c.seq.desc())
        .limit(_UNDO_DEPTH)
    )
    taken_back: set[int] = set()
    for row in connection.execute(query):
        one = Event(*row)
        if one.kind == "undo":
            taken_back.add(one.fields()["takes_back"])
        elif one.seq not in taken_back:
            return one
    return None


def _active_event(connection: sa.Connection, reviewer: int, seq: int) -> Event | None:
    row = connection.execute(sa.select(event).where(event.c.seq == seq, event.c.reviewer == reviewer)).one_or_none()
    if row is None or row.kind not in ("decide", "adjudicate") or row.task is None:
        return None
    later = event_log.newest_events(connection, reviewer=reviewer, kind="undo", task=row.task)
    return None if any(one.fields()["takes_back"] == seq for one in later) else Event(*row)


def later(connection: sa.Connection, *, now: float, reviewer: int, number: int, key: str) -> Outcome:
    """Put a post off: it goes to others, and comes back to this person after an hour."""
    active_person(connection, reviewer, roles=DECIDING)
    if made := event_of_key(connection, key, reviewer=reviewer, kind="later", task=number):
        return Outcome(made.seq, True, number)
    row = task_row(connection, number)
    _check_due(connection, row, active_decisions(connection, number), reviewer, now)
    one = append(connection, now=now, reviewer=reviewer, kind="later", task=number, body={}, key=key)
    connection.execute(sa.delete(parked).where(parked.c.task == number, parked.c.reviewer == reviewer))
    connection.execute(sa.insert(parked).values(task=number, reviewer=reviewer, until=now + PARKED_SECONDS))
    connection.execute(sa.delete(lease).where(lease.c.task == number, lease.c.reviewer == reviewer))
    return Outcome(one.seq, False, number)
