"""Damage is found: an altered, removed or inserted event, a lost decision, a changed task or note, a rewritten log."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import pytest
import sqlalchemy as sa
from tests.review.small import key

from polyvigil.errors import RecipeError
from polyvigil.review.event_log import GENESIS, Event, body_text, event_hash, events
from polyvigil.review.schema import TRIGGERS, decision, event, note, task
from polyvigil.review.store import Store
from polyvigil.review.verify import Verification, verify

ANA, BO, CY = 1, 2, 3


@pytest.fixture
def decided(store: Store) -> Store:
    """A store with decisions of each kind."""
    for number in (1, 2, 3):
        store.decide(ANA, number, "ade", key=key())
    store.undo(ANA, key=key())
    store.decide(ANA, 9, "ade", key=key())
    store.decide(BO, 9, "not", key=key())
    store.decide(BO, 10, "not", key=key())
    store.adjudicate(CY, 9, "ade", reason="he says so", key=key())
    store.note(ANA, 2, "a note", key=key())
    return store


def verified(store: Store, *, head: str = "") -> Verification:
    with store.read() as connection:
        return verify(connection, store=store.id, mac_key=store.mac_key, expected_head=head)


def damaged(store: Store, *statements: sa.Executable, head: str = "") -> Verification:
    """What is found after a change that an administrator could make, the guards of the log away; it is taken back."""
    on = "" if store.database.is_sqlite else " ON event"
    with store.database.engine.connect() as connection:
        for name in TRIGGERS[store.database.engine.dialect.name]:
            connection.execute(sa.text(f"DROP TRIGGER {name}{on}"))
        for statement in statements:
            connection.execute(statement)
        try:
            return verify(connection, store=store.id, mac_key=store.mac_key, expected_head=head)
        finally:
            connection.rollback()


def test_a_store_that_nobody_touched_is_whole(decided: Store) -> None:
    found = verified(decided)
    assert (found.breaks, found.n_events, found.n_decisions, found.n_tasks) == ((), 13, 5, 12)
    assert (found.head, found.is_whole) == (decided.head().hash, True)


def test_the_hash_is_the_documented_one(decided: Store) -> None:
    with decided.read() as connection:
        first, second = list(events(connection))[:2]
    assert (first.prev, second.prev) == (GENESIS, first.hash)
    fields = [first.seq, first.at, first.reviewer, first.kind, first.task, first.body, first.key, first.prev]
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    assert first.hash == hashlib.sha256(text.encode()).hexdigest()


def test_a_body_is_written_in_one_way() -> None:
    assert body_text({"b": ["é", 1, None], "a": True}) == '{"a":true,"b":["\\u00e9",1,null]}'
    with pytest.raises(TypeError, match="integers or strings"):
        body_text({"a": [{"b": 0.1}]})


def test_an_altered_event_is_found(decided: Store) -> None:
    other = {"reviewer": 2, "task": 4, "kind": "note", "prev": "f" * 64, "hash": "f" * 64}
    for column in ("at", "reviewer", "kind", "task", "body", "key", "prev", "hash"):
        change = sa.update(event).where(event.c.seq == 6).values({column: other.get(column, '{"x":1}')})
        breaks = damaged(decided, change).breaks
        assert any("event 6 " in line or "event 7 " in line for line in breaks), column
    assert verified(decided).is_whole


def test_a_removed_event_is_found(decided: Store) -> None:
    assert "event 6 is missing" in damaged(decided, sa.delete(event).where(event.c.seq == 6)).breaks


def test_removed_events_at_the_end_are_found(decided: Store) -> None:
    changes = [sa.delete(event).where(event.c.seq > 12), sa.delete(note).where(note.c.seq > 12)]
    assert damaged(decided, *changes).is_whole, "the chain alone does not say that its end is gone"
    breaks = damaged(decided, *changes, head=decided.head().hash).breaks
    assert any("expected head is not in the log" in line for line in breaks)


def test_a_rewritten_log_is_found_by_a_head_of_before(decided: Store) -> None:
    with decided.read() as connection:
        old = list(events(connection))
    rewritten: list[Event] = []
    for one in old:
        body = one.body.replace('"seconds":""', '"seconds":"9.9"')
        changed = replace(one, body=body, prev=rewritten[-1].hash if rewritten else GENESIS)
        rewritten.append(replace(changed, hash=event_hash(changed)))
    changes = [sa.delete(event), sa.insert(event).values([asdict(one) for one in rewritten])]
    assert damaged(decided, *changes).is_whole
    assert not damaged(decided, *changes, head=decided.head().hash).is_whole


def test_events_behind_an_expected_head_are_welcome(decided: Store) -> None:
    head = decided.head().hash
    decided.decide(ANA, 5, "ade", key=key())
    assert verified(decided, head=head).is_whole


DAMAGES = [
    (sa.delete(decision).where(decision.c.task == 1), "(reviewer 1, task 1) was lost"),
    (sa.update(decision).where(decision.c.task == 1).values(verdict="not"), "on task 1 was changed"),
    (sa.insert(decision).values(task=4, reviewer=2, verdict="ade", seq=5), "on task 4 is not in the log"),
    (sa.update(task).where(task.c.id == 1).values(label=0), "task 1 is done with label 0; by the log done, 1"),
    (sa.update(task).where(task.c.id == 1).values(state="open", label=None), "task 1 is open"),
    (sa.update(task).where(task.c.id == 10).values(first_reviewer=1), "task 10 is second"),
    (sa.update(task).where(task.c.id == 9).values(state="closed", label=None), "task 9 is closed"),
    (sa.update(task).where(task.c.id == 4).values(state="closed"), "1 closed tasks; by the log 0"),
    (sa.delete(task).where(task.c.id == 4), "11 tasks; by the log 12"),
    (sa.delete(task).where(task.c.id == 1), "task 1 was removed, and has decisions"),
    (sa.update(note).values(text="another"), "is not what was written"),
    (sa.delete(note), "was lost"),
]


def test_a_lost_or_changed_row_is_found(decided: Store) -> None:
    for damage, message in DAMAGES:
        breaks = damaged(decided, damage).breaks
        assert any(message in line for line in breaks), message
    assert verified(decided).is_whole


def test_a_lost_update_is_found(store: Store) -> None:
    """A writer that read before another wrote, and writes what it read: the other's decision is overwritten."""
    with store.read() as connection:
        state, label = connection.execute(sa.select(task.c.state, task.c.label).where(task.c.id == 5)).one()
    store.decide(ANA, 5, "ade", key=key())
    store.write(
        lambda connection: connection.execute(sa.update(task).where(task.c.id == 5).values(state=state, label=label))
    )
    assert verified(store).breaks == ("task 5 is open with label None; by the log done, 1",)


def test_many_breaks_are_counted(decided: Store) -> None:
    found = damaged(decided, sa.update(event).values(hash="0" * 64))
    assert (len(found.breaks), found.n_breaks > 20) == (20, True)


def test_a_head_is_64_digits(decided: Store) -> None:
    for head in ("abc", "z" * 64):
        with pytest.raises(RecipeError, match="no head of a log"):
            verified(decided, head=head)
