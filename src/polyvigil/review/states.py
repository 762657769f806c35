"""The state of a task: a function of the decisions that stand on it, which deciding, undoing and verifying share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review.event_log import Event
from polyvigil.review.schema import LABELS, ONE_REVIEW, SECOND_FOR_ADE, TWO_REVIEWS, decision, event, task


@dataclass(frozen=True, slots=True)
class ActiveDecision:
    """A decision that stands: not taken back."""

    seq: int
    reviewer: int
    verdict: str


@dataclass(frozen=True, slots=True)
class TaskState:
    """``state`` of a task, who decided first while a second review is due, and the label once it is done."""

    state: str
    first_reviewer: int | None = None
    label: int | None = None


def task_state(reviews: int, active: Sequence[ActiveDecision], *, adjudicated: str = "") -> TaskState:
    """The state that follows. ``reviews``: schema.ONE_REVIEW and its like; ``adjudicated``: a lead's verdict, if any.

    One who is unsure makes a conflict at once, which a lead decides.
    """
    if adjudicated:
        return TaskState("done", label=LABELS[adjudicated])
    verdicts = {decision.verdict for decision in active}
    if not active:
        return TaskState("open")
    if "unsure" in verdicts or len(verdicts) > 1:
        return TaskState("conflict")
    needed = reviews if reviews != SECOND_FOR_ADE else TWO_REVIEWS if "ade" in verdicts else ONE_REVIEW
    if len(active) < needed:
        return TaskState("second", first_reviewer=active[0].reviewer)
    return TaskState("done", label=LABELS[active[0].verdict])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: the event that holds it, and whether that was there already."""

    seq: int
    again: bool
    task: int | None


def task_row(connection: sa.Connection, number: int) -> sa.Row[Any]:
    row = connection.execute(sa.select(task).where(task.c.id == number, task.c.state != "new")).one_or_none()
    if row is None:
        raise ReviewError("no_task", "there is no such post in the store")
    return row


def active_decisions(connection: sa.Connection, number: int) -> list[ActiveDecision]:
    """The decisions that stand on a task, in the order in which they were made."""
    query = sa.select(decision.c.seq, decision.c.reviewer, decision.c.verdict).where(decision.c.task == number)
    return [ActiveDecision(*row) for row in connection.execute(query.order_by(decision.c.seq))]


def set_state(
    connection: sa.Connection, row: sa.Row[Any], active: Sequence[ActiveDecision], *, adjudicated: str = ""
) -> None:
    state = task_state(row.reviews, active, adjudicated=adjudicated)
    values = {"state": state.state, "first_reviewer": state.first_reviewer, "label": state.label}
    connection.execute(sa.update(task).where(task.c.id == row.id).values(values))


def adjudication(connection: sa.Connection, number: int) -> Event | None:
    """The adjudication that stands on a task, if any."""
    query = (
        sa.select(event)
        .where(event.c.task == number, event.c.kind.in_(("adjudicate", "undo")))
        .order_by(event.c.seq.desc())
    )
    taken_back: set[int] = set()
    for row in connection.execute(query):
        one = Event(*row)
        if one.kind == "undo":
            taken_back.add(one.fields()["takes_back"])
        elif one.seq not in taken_back:
            return one
    return None
