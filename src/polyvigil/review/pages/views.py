"""The pages: each a function from a request to HTML, with what the store holds now."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review import event_log, notes, tasks
from polyvigil.review.event_log import Event, new_key
from polyvigil.review.measuring import ReviewMetrics
from polyvigil.review.pages import queries
from polyvigil.review.pages.actions import READY_POSTS
from polyvigil.review.pages.looks import metrics_rows
from polyvigil.review.pages.policy import BUILT_IN, INLINE_CHARACTERS, policy_html, policy_version
from polyvigil.review.pages.shown import card_fields, revealed_fields, row_fields
from polyvigil.review.pages.templates import page
from polyvigil.review.pages.visit import Visit, html, json_answer, whole_number
from polyvigil.review.schema import KINDS, event
from polyvigil.review.states import ActiveDecision
from polyvigil.review.tasks import Card
from polyvigil.review.verify import verify as verify_store
from polyvigil.web.asgi import Reply

_LOG_ROWS = 100
NOTICES = {
    "decided": "Another person decided that post, or it is decided already. This is the next one.",
    "not_yours": "Another person has that post on the screen. This is the next one.",
    "undo_blocked": "Nothing of yours can be taken back: another person's decision may stand on it.",
}


def sign_in(visit: Visit) -> Reply:
    """GET /sign-in."""
    return html(page("sign_in.html.j2", visit, title="Sign in"))


def queue(visit: Visit) -> Reply:
    """GET /: what is left, and the posts that come next."""
    with visit.store.read() as connection:
        counts = queries.language_counts(connection, now=visit.store.clock())
        batches = queries.batches(connection)
        cards: list[Card] = []
        if visit.person.may_decide:
            cards = tasks.waiting(connection, reviewer=visit.person.id, chosen=visit.chosen)
    return html(
        page(
            "queue.html.j2",
            visit,
            title="Queue",
            counts=counts,
            batches=batches,
            chosen=visit.chosen,
            chosen_query=visit.chosen_query,
            cards=[row_fields(card) for card in cards],
            may_decide=visit.person.may_decide,
        )
    )


def post(visit: Visit) -> Reply:
    """GET /post: the next post; GET /post/{task}: a chosen one."""
    store, reviewer, number = visit.store, visit.person.id, visit.task
    now = store.clock()

    def run(connection: sa.Connection) -> tuple[list[Card], ActiveDecision | None]:
        cards, decided = [], None
        if number is not None:
            decided = queries.person_decision(connection, number, reviewer=reviewer)
            if decided is None:
                queries.hold_task(connection, now=now, reviewer=reviewer, number=number)
            cards = [tasks.card_of(connection, number, reviewer=reviewer)]
        if decided is None:
            showing = [card.task for card in cards]
            n = READY_POSTS - len(cards)
            cards += tasks.lease_next(connection, now=now, reviewer=reviewer, n=n, chosen=visit.chosen, showing=showing)
        return cards, decided

    cards, decided = store.write(run)
    fields = [card_fields(card, visit.options.terms) for card in cards]
    return html(
        page(
            "post.html.j2",
            visit,
            title="Post",
            card=fields[0] if fields else None,
            cards=[] if decided else fields,
            decided=decided,
            keys=[new_key() for _ in range(4)],
            chosen_query=visit.chosen_query,
            last=_last(visit),
            saved=_whole(visit, "saved"),
            undone=_whole(visit, "undone"),
            notice=NOTICES.get(visit.query.get("notice", ""), ""),
            **_policy_fields(visit),
        )
    )


def _last(visit: Visit) -> dict[str, Any] | None:
    """What the last card held back while it was blind; only for one who has decided it."""
    number = _whole(visit, "last")
    if number is None:
        return None
    try:
        card = visit.store.card(number, reviewer=visit.person.id)
    except ReviewError:
        return None
    return revealed_fields(card)


def _whole(visit: Visit, name: str) -> int | None:
    value = visit.query.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None


def _policy_fields(visit: Visit) -> dict[str, Any]:
    markdown = visit.store.policy()
    is_long = len(markdown) > INLINE_CHARACTERS
    return {"policy": None if is_long else policy_html(markdown or BUILT_IN)}


def history(visit: Visit) -> Reply:
    """GET /history: a person's last ten decisions."""
    with visit.store.read() as connection:
        decided = queries.person_decisions(connection, reviewer=visit.person.id)
    rows = [(one, card_fields(one.card, visit.options.terms), new_key()) for one in decided]
    return html(page("history.html.j2", visit, title="Last decisions", rows=rows))


def conflicts(visit: Visit) -> Reply:
    """GET /conflicts: the oldest one, whole, and how many wait."""
    waiting = visit.store.conflicts(visit.person.id)
    values: dict[str, Any] = {"conflict": None}
    if waiting:
        first = waiting[0]
        with visit.store.read() as connection:
            card = tasks.cards(connection, [first.task], revealed=True)[0]
            written = notes.notes_of(connection, first.task)
            verdicts = [_verdict_fields(connection, first.task, reviewer) for reviewer in first.reviewers]
        values = {
            "conflict": first,
            "card": card_fields(card, visit.options.terms),
            "verdicts": verdicts,
            "notes": written,
        }
    return html(
        page(
            "conflicts.html.j2",
            visit,
            title="Conflicts",
            n_waiting=len(waiting),
            key=new_key(),
            saved=_whole(visit, "saved"),
            notice=NOTICES.get(visit.query.get("notice", ""), ""),
            **values,
            **_policy_fields(visit),
        )
    )


def _verdict_fields(connection: sa.Connection, number: int, reviewer: int) -> dict[str, Any]:
    """What one of the reviewers of a task said last, without who it was."""
    one = event_log.newest_events(connection, reviewer=reviewer, kind="decide", task=number, limit=1)[0]
    body = one.fields()
    return {name: body.get(name) for name in ("verdict", "criteria", "serious")}


def audit(visit: Visit) -> Reply:
    """GET /audit: how far the audit is; no score."""
    with visit.store.read() as connection:
        counts = queries.language_counts(connection, now=visit.store.clock())
    rows = [one for one in counts if one.audit_left or one.audit_done]
    return html(page("audit.html.j2", visit, title="Audit", rows=rows, may_decide=visit.person.may_decide))


def metrics(visit: Visit, result: ReviewMetrics, looks: int) -> Reply:
    """GET /metrics: what was found, and what was probably missed."""
    rows = metrics_rows(result)
    return html(page("metrics.html.j2", visit, title="Metrics", result=result, rows=rows, looks=looks))


def policy(visit: Visit) -> Reply:
    """GET /policy."""
    markdown = visit.store.policy()
    return html(
        page(
            "policy.html.j2",
            visit,
            title="Policy",
            policy=policy_html(markdown or BUILT_IN),
            markdown=markdown or BUILT_IN,
            version=policy_version(markdown) if markdown else "",
            key=new_key(),
            saved=_whole(visit, "saved"),
        )
    )


def log(visit: Visit) -> Reply:
    """GET /log: the newest events first, filtered by person, kind and task."""
    return _log_page(visit, verification=None)


def verify(visit: Visit) -> Reply:
    """GET /verify: follow the chain and replay the log, now."""
    with visit.store.read() as connection:
        result = verify_store(
            connection,
            store=visit.store.id,
            mac_key=visit.store.mac_key,
            expected_head=visit.query.get("head", "").strip(),
        )
    if visit.is_json:
        return json_answer(json.loads(result.model_dump_json()))
    return _log_page(visit, verification=result)


def _log_page(visit: Visit, *, verification: object) -> Reply:
    chosen = {name: _whole(visit, name) for name in ("reviewer", "task", "before")}
    kind = visit.query.get("kind", "") if visit.query.get("kind") in KINDS else ""
    with visit.store.read() as connection:
        shown = event_log.newest_events(
            connection,
            before=chosen["before"],
            reviewer=chosen["reviewer"],
            kind=kind,
            task=chosen["task"],
            limit=_LOG_ROWS,
        )
        names = queries.person_names(connection)
        rows = _log_rows(connection, visit, shown, names)
        head = event_log.head(connection)
    return html(
        page(
            "log.html.j2",
            visit,
            title="Log",
            rows=rows,
            names=names,
            kinds=KINDS,
            kind=kind,
            head=head,
            verification=verification,
            older=shown[-1].seq if len(shown) == _LOG_ROWS else None,
            **chosen,
        )
    )


def _log_rows(
    connection: sa.Connection, visit: Visit, shown: list[Event], names: dict[int, str]
) -> list[dict[str, Any]]:
    hidden = queries.unfinished(connection, [one.task for one in shown if one.task is not None])
    may_decide, reader = visit.person.may_decide, visit.person.id
    return [
        {
            "seq": one.seq,
            "at": one.at[:19].replace("T", " "),
            "name": names.get(one.reviewer, f"person {one.reviewer}"),
            "kind": one.kind,
            "task": one.task,
            "hash": one.hash[:12],
            "details": queries.details(one, hides=may_decide and one.task in hidden and one.reviewer != reader),
        }
        for one in shown
    ]


def log_json(visit: Visit) -> Reply:
    """GET /log.json?after=seq: whole events, to be kept elsewhere."""
    after = whole_number(visit.query.get("after", "0") or "0", "after")
    with visit.store.read() as connection:
        rows = connection.execute(sa.select(event).where(event.c.seq > after).order_by(event.c.seq).limit(1_000))
        events = [dict(row._mapping) for row in rows]
        head = event_log.head(connection)
    return json_answer({"events": events, "head": {"seq": head.seq, "hash": head.hash}})
