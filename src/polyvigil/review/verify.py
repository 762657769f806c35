"""Is the store what its log says? The chain is followed, the log replayed, and both tables of decisions compared.

Nothing here trusts what deciding has written besides the events: a decision that was lost, changed or added behind the
log's back is found, and so is an event that was altered, removed or put in between. Someone who rewrites the whole log
is found by the head that earlier exports state (``expected_head``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from polyvigil.errors import RecipeError
from polyvigil.review.event_log import GENESIS, Event, Head, event_hash, events, keyed_hash
from polyvigil.review.schema import KINDS, batch, decision, event, note, task
from polyvigil.review.states import ActiveDecision, task_state
from polyvigil.types import Frozen

_MOST = 20
"""Breaks that are described; the others are counted."""


class Verification(Frozen):
    """What was found; the store is whole where there are no breaks."""

    store: str
    head_seq: int
    head: str
    n_events: int
    n_decisions: int
    """Decisions that stand."""
    n_tasks: int
    n_breaks: int
    breaks: tuple[str, ...]
    """The first of them, in words, without post text, names or notes."""

    @property
    def is_whole(self) -> bool:
        return self.n_breaks == 0


@dataclass(slots=True)
class _Breaks:
    first: list[str] = field(default_factory=list)
    total: int = 0

    def add(self, message: str) -> None:
        self.total += 1
        if len(self.first) < _MOST:
            self.first.append(message)


@dataclass(slots=True)
class _Replayed:
    """The store as the log alone says that it is."""

    active: dict[int, dict[int, ActiveDecision]] = field(default_factory=dict)
    """Of each task the decisions that stand, by reviewer."""
    adjudications: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Of each task the adjudication that stands: its seq and verdict."""
    macs: dict[int, str] = field(default_factory=dict)
    """Of each note or reason the keyed hash of its text, by seq."""
    added: Counter[str] = field(default_factory=Counter)
    """Tasks that commands have made, and closed."""


def verify(
    connection: sa.Connection,
    *,
    store: str,
    mac_key: bytes,
    expected_head: str = "",
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Follow the chain, replay the log, compare. ``expected_head``: the hash of an event that must be in the log.

    Raises RecipeError for an expected head that is no SHA-256.
    """
    expected_head = expected_head.lower()
    if expected_head and (len(expected_head) != len(GENESIS) or set(expected_head) - set("0123456789abcdef")):
        raise RecipeError("is no head of a log", where="--head", hint="64 hexadecimal digits, as exports state it")
    breaks, replayed = _Breaks(), _Replayed()
    last = _follow(connection, breaks, replayed, expected_head, progress)
    _compare_decisions(connection, breaks, replayed)
    n_tasks = _compare_tasks(connection, breaks, replayed)
    _compare_notes(connection, breaks, replayed, mac_key)
    return Verification(
        store=store,
        head_seq=last.seq,
        head=last.hash,
        n_events=last.seq,
        n_decisions=sum(map(len, replayed.active.values())),
        n_tasks=n_tasks,
        n_breaks=breaks.total,
        breaks=tuple(breaks.first),
    )


def _follow(
    connection: sa.Connection,
    breaks: _Breaks,
    replayed: _Replayed,
    expected_head: str,
    progress: Callable[[int], None] | None,
) -> Head:
    """Check each event's place in the chain, and replay it."""
    last, has_expected = Head(0, GENESIS), not expected_head
    for one in events(connection):
        if one.seq != last.seq + 1:
            breaks.add(f"event {last.seq + 1} is missing")
        if one.prev != last.hash:
            breaks.add(f"event {one.seq} does not follow event {last.seq}")
        if event_hash(one) != one.hash:
            breaks.add(f"event {one.seq} is not what was written")
        has_expected = has_expected or one.hash == expected_head
        _replay(one, replayed, breaks)
        last = Head(one.seq, one.hash)
        if progress and one.seq % 10_000 == 0:
            progress(one.seq)
    if not has_expected:
        breaks.add("the expected head is not in the log: events behind it were removed, or the log was rewritten")
    return last


def _replay(one: Event, replayed: _Replayed, breaks: _Breaks) -> None:
    try:
        body = one.fields()
        _apply(one, body, replayed)
    except (ValueError, KeyError, TypeError):
        breaks.add(f"event {one.seq} ({one.kind if one.kind in KINDS else 'of no known kind'}) makes no sense")


def _apply(one: Event, body: dict[str, object], replayed: _Replayed) -> None:
    if one.kind not in KINDS:
        raise ValueError(one.kind)
    if mac := body.get("text_mac") or body.get("reason_mac"):
        replayed.macs[one.seq] = str(mac)
    if one.kind in ("add", "sample", "purge"):
        for name in ("tasks", "closed"):
            replayed.added[name] += int(str(body.get(name, 0)))
    if one.kind in ("decide", "adjudicate", "undo"):
        if one.task is None:
            raise ValueError("no task")
        _apply_verdict(one, one.task, body, replayed)


def _apply_verdict(one: Event, number: int, body: dict[str, object], replayed: _Replayed) -> None:
    active = replayed.active.setdefault(number, {})
    if one.kind == "decide":
        if one.reviewer in active:
            raise ValueError("decided twice")
        active[one.reviewer] = ActiveDecision(one.seq, one.reviewer, str(body["verdict"]))
    elif one.kind == "adjudicate":
        replayed.adjudications[number] = (one.seq, str(body["verdict"]))
    elif body["kind"] == "decide":
        if active[one.reviewer].seq != body["takes_back"]:
            raise ValueError("takes back another")
        del active[one.reviewer]
    else:
        if replayed.adjudications[number][0] != body["takes_back"]:
            raise ValueError("takes back another")
        del replayed.adjudications[number]


def _compare_decisions(connection: sa.Connection, breaks: _Breaks, replayed: _Replayed) -> None:
    """The table of decisions that stand against those of the log."""
    expected = {
        (number, one.reviewer): (one.seq, one.verdict)
        for number, of_task in replayed.active.items()
        for one in of_task.values()
    }
    for row in connection.execute(sa.select(decision)):
        logged = expected.pop((row.task, row.reviewer), None)
        if logged is None:
            breaks.add(f"the decision of reviewer {row.reviewer} on task {row.task} is not in the log")
        elif logged != (row.seq, row.verdict):
            breaks.add(f"the decision of event {logged[0]} on task {row.task} was changed")
    for (number, reviewer), (seq, _) in expected.items():
        breaks.add(f"the decision of event {seq} (reviewer {reviewer}, task {number}) was lost")


def _compare_tasks(connection: sa.Connection, breaks: _Breaks, replayed: _Replayed) -> int:
    """State, first reviewer and label of every task against what follows from the log. Returns how many there are."""
    columns = (task.c.id, task.c.reviews, task.c.state, task.c.first_reviewer, task.c.label)
    seen: Counter[str] = Counter()
    announced = connection.execute(sa.select(batch.c.id).where(batch.c.state == "tasks").limit(1)).scalar() is not None
    touched = replayed.active.keys() | replayed.adjudications.keys()
    for row in connection.execute(sa.select(*columns)):
        seen["tasks"] += announced or row.state != "new"
        if row.state == "new":
            continue
        seen["closed"] += row.state == "closed"
        touched.discard(row.id)
        active = sorted(replayed.active.get(row.id, {}).values(), key=lambda one: one.seq)
        _, adjudicated = replayed.adjudications.get(row.id, (0, ""))
        state = task_state(row.reviews, active, adjudicated=adjudicated)
        stored = (row.state, row.first_reviewer, row.label)
        if stored != (state.state, state.first_reviewer, state.label) and stored != _closed(state.state):
            breaks.add(f"task {row.id} is {row.state} with label {row.label}; by the log {state.state}, {state.label}")
    for number in sorted(touched):
        if replayed.active.get(number) or number in replayed.adjudications:
            breaks.add(f"task {number} was removed, and has decisions")
    for name in ("tasks", "closed"):
        if seen[name] != replayed.added[name]:
            what = "tasks" if name == "tasks" else "closed tasks"
            breaks.add(f"{seen[name]:,} {what}; by the log {replayed.added[name]:,}")
    return seen["tasks"]


def _closed(state: str) -> tuple[str, None, None] | None:
    """A task that is closed: one without decisions."""
    return ("closed", None, None) if state == "open" else None


def _compare_notes(connection: sa.Connection, breaks: _Breaks, replayed: _Replayed, mac_key: bytes) -> None:
    """Texts of notes against their hashes in the log; one that a purge has emptied has none."""
    expected = dict(replayed.macs)
    for row in connection.execute(sa.select(note.c.seq, note.c.text)):
        mac = expected.pop(row.seq, None)
        if mac is None or (row.text is not None and keyed_hash(mac_key, row.text).hex() != mac):
            breaks.add(f"the note of event {row.seq} is not what was written")
    for seq in expected:
        breaks.add(f"the note of event {seq} was lost")


def n_events(connection: sa.Connection) -> int:
    """How many events there are, for progress."""
    return connection.execute(sa.select(sa.func.count()).select_from(event)).scalar_one()
