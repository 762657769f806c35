"""What a person does: each request checked, put to the store, and answered for the script or for a form.

The script gets JSON with the next cards; a form is sent on to the next page (303). Both carry a key, so that a request
that is sent twice is done once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review import decisions, tasks
from polyvigil.review.pages.shown import card_fields, revealed_fields
from polyvigil.review.pages.visit import Visit, json_answer, redirect, whole_number
from polyvigil.review.states import Outcome
from polyvigil.review.tasks import Card, Filter
from polyvigil.web.asgi import Reply

READY_POSTS = 4
"""So many cards a page holds: the one on the screen and the next three."""
_SHOWN_ON = ("decided", "not_yours", "undo_blocked")
"""Refusals after which a form goes on to the next post, with one sentence about it."""


def next_cards(visit: Visit) -> Reply:
    """GET /next: more cards for the script."""
    showing = [whole_number(one, "showing") for one in visit.query.get("showing", "").split(",") if one][:100]
    cards = visit.store.lease_next(visit.person.id, n=READY_POSTS, chosen=visit.chosen, showing=showing)
    return json_answer({"next": [card_fields(card, visit.options.terms) for card in cards]})


def decide(visit: Visit) -> Reply:
    """POST /decide."""
    number, reviewer, key = visit.number("task"), visit.person.id, visit.text("key")
    verdict, seconds = visit.text("verdict"), _seconds(visit)
    criteria, is_serious = visit.numbers("criteria", most=10), visit.fields.get("serious") in (True, "1")
    now, more = visit.store.clock(), _More.of(visit)

    def run(connection: sa.Connection) -> tuple[Outcome, list[Card], Card]:
        outcome = decisions.decide(
            connection,
            now=now,
            reviewer=reviewer,
            number=number,
            verdict=verdict,
            key=key,
            seconds=seconds,
            criteria=criteria,
            serious=is_serious,
        )
        return outcome, more.cards(connection, now), tasks.card_of(connection, number, reviewer=reviewer)

    try:
        outcome, cards, decided = visit.store.write(run)
    except ReviewError as refusal:
        return _refused(visit, refusal)
    revealed = revealed_fields(decided) if decided.mode == "blind" else None
    if visit.is_json:
        return json_answer(_done(visit, outcome, cards) | {"revealed": revealed})
    return _onwards(visit, saved=outcome.seq, last=number if revealed else None)


def undo(visit: Visit) -> Reply:
    """POST /undo: the last decision, or that of ``seq``; the post comes back."""
    reviewer, key = visit.person.id, visit.text("key")
    seq = visit.number("seq") if visit.fields.get("seq") else None
    now = visit.store.clock()

    def run(connection: sa.Connection) -> tuple[Outcome, list[Card]]:
        outcome = decisions.undo(connection, now=now, reviewer=reviewer, key=key, seq=seq)
        return outcome, tasks.cards(connection, [outcome.task] if outcome.task is not None else [])

    try:
        outcome, cards = visit.store.write(run)
    except ReviewError as refusal:
        return _refused(visit, refusal)
    if visit.is_json:
        return json_answer(
            _done(visit, outcome, []) | {"card": card_fields(cards[0], visit.options.terms) if cards else None}
        )
    return redirect(f"/post/{outcome.task}?undone={outcome.seq}")


def later(visit: Visit) -> Reply:
    """POST /later."""
    number, reviewer, key = visit.number("task"), visit.person.id, visit.text("key")
    now, more = visit.store.clock(), _More.of(visit)

    def run(connection: sa.Connection) -> tuple[Outcome, list[Card]]:
        outcome = decisions.later(connection, now=now, reviewer=reviewer, number=number, key=key)
        return outcome, more.cards(connection, now)

    try:
        outcome, cards = visit.store.write(run)
    except ReviewError as refusal:
        return _refused(visit, refusal)
    return json_answer(_done(visit, outcome, cards)) if visit.is_json else _onwards(visit, saved=outcome.seq)


def note(visit: Visit) -> Reply:
    """POST /note."""
    number = visit.number("task")
    outcome = visit.store.note(visit.person.id, number, visit.text("text"), key=visit.text("key"))
    return _same_post(visit, outcome, number)


def language(visit: Visit) -> Reply:
    """POST /language: the post is in another language."""
    number, code = visit.number("task"), visit.text("to").strip()
    outcome = visit.store.correct_language(visit.person.id, number, code, key=visit.text("key"))
    return _same_post(visit, outcome, number)


def adjudicate(visit: Visit) -> Reply:
    """POST /adjudicate: a lead decides a conflict."""
    try:
        outcome = visit.store.adjudicate(
            visit.person.id,
            visit.number("task"),
            visit.text("verdict"),
            reason=visit.text("reason"),
            key=visit.text("key"),
        )
    except ReviewError as refusal:
        if refusal.code not in _SHOWN_ON or visit.is_json:
            raise
        return redirect(f"/conflicts?notice={refusal.code}")
    return json_answer(_done(visit, outcome, [])) if visit.is_json else redirect(f"/conflicts?saved={outcome.seq}")


def set_policy(visit: Visit) -> Reply:
    """POST /policy: a lead sets the labelling policy."""
    outcome = visit.store.set_policy(visit.person.id, visit.text("policy"), key=visit.text("key"))
    return json_answer(_done(visit, outcome, [])) if visit.is_json else redirect(f"/policy?saved={outcome.seq}")


@dataclass(frozen=True, slots=True)
class _More:
    """Further cards for the script, beside those that are on its page; a form's next page takes its own.

    Made before anything is written, so that a request that is wrong leaves nothing behind.
    """

    reviewer: int
    n: int
    chosen: Filter
    showing: list[int]

    @staticmethod
    def of(visit: Visit) -> _More:
        """Raises ReviewError."""
        n = min(whole_number(visit.fields.get("n", READY_POSTS), "n"), READY_POSTS) if visit.is_json else 0
        return _More(visit.person.id, n, visit.chosen, visit.numbers("showing", most=1_000))

    def cards(self, connection: sa.Connection, now: float) -> list[Card]:
        if not self.n:
            return []
        return tasks.lease_next(
            connection, now=now, reviewer=self.reviewer, n=self.n, chosen=self.chosen, showing=self.showing
        )


def _done(visit: Visit, outcome: Outcome, cards: list[Card]) -> dict[str, Any]:
    next_ = [card_fields(card, visit.options.terms) for card in cards]
    return {"seq": outcome.seq, "again": outcome.again, "task": outcome.task, "next": next_}


def _seconds(visit: Visit) -> float | None:
    value = visit.fields.get("seconds")
    if value in (None, ""):
        return None
    if type(value) not in (int, float):
        raise ReviewError("usage", "a number is expected", where="seconds")
    return float(value)


def _refused(visit: Visit, refusal: ReviewError) -> Reply:
    """A form goes on to the next post where the refusal is about this one alone; else it is raised."""
    if visit.is_json or refusal.code not in _SHOWN_ON:
        raise refusal
    return _onwards(visit, notice=refusal.code)


def _onwards(visit: Visit, **values: object) -> Reply:
    """To the next post of the same choice."""
    given = "&".join(f"{name}={value}" for name, value in values.items() if value is not None)
    query = visit.chosen_query
    return redirect(f"/post{query}{'&' if query else '?'}{given}")


def _same_post(visit: Visit, outcome: Outcome, number: int) -> Reply:
    if visit.is_json:
        return json_answer(_done(visit, outcome, []))
    query = visit.chosen_query
    return redirect(f"/post/{number}{query}{'&' if query else '?'}saved={outcome.seq}")
