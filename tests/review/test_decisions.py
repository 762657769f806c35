"""Deciding, undoing, putting off, notes, conflicts: one person at a time, on both engines."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from tests.review.small import Clock, fill, key

from polyvigil.errors import ReviewError
from polyvigil.review.notes import notes_of
from polyvigil.review.schema import decision, task
from polyvigil.review.store import Store
from polyvigil.review.tasks import LEASE_SECONDS, PARKED_SECONDS, Filter
from polyvigil.review.verify import verify

ANA, BO, CY = 1, 2, 3


def state(store: Store, number: int) -> tuple[str, int | None]:
    """State and label of a task."""
    with store.read() as connection:
        return tuple(connection.execute(sa.select(task.c.state, task.c.label).where(task.c.id == number)).one())


def check(store: Store) -> None:
    """The store is what its log says."""
    with store.read() as connection:
        assert verify(connection, store=store.id, mac_key=store.mac_key).breaks == ()


def refused(code: str) -> pytest.RaisesExc[ReviewError]:
    return pytest.RaisesExc(ReviewError, check=lambda error: error.code == code)


def test_a_decision_is_stored_with_what_was_shown(store: Store) -> None:
    done = store.decide(ANA, 1, "ade", key="k1", seconds=6.24, criteria=[3, 1], serious=True)
    (event,) = store.newest_events(limit=1)
    assert (event.seq, event.kind, event.task, event.reviewer, event.key) == (done.seq, "decide", 1, ANA, "k1")
    assert json.loads(event.body) == {
        "verdict": "ade",
        "mode": "assisted",
        "bundle": "0123456789abcdef",
        "p": "0.9",
        "threshold": "0.5",
        "seconds": "6.2",
        "criteria": [1, 3],
        "serious": True,
        "copies": 0,
    }
    assert state(store, 1) == ("done", 1)
    check(store)


def test_a_resent_decision_is_answered_with_the_first(store: Store) -> None:
    first = store.decide(ANA, 1, "ade", key="k1")
    again = store.decide(ANA, 1, "ade", key="k1")
    assert (again.seq, again.again, first.again) == (first.seq, True, False)
    with refused("usage"):
        store.decide(ANA, 2, "ade", key="k1")
    with refused("usage"):
        store.decide(BO, 1, "ade", key="k1")
    with refused("usage"):
        store.undo(ANA, key="k1")
    check(store)


def test_a_key_is_needed(store: Store) -> None:
    for bad in ("", "x" * 37, "é", "a\nb"):
        with refused("usage"):
            store.decide(ANA, 1, "ade", key=bad)


def test_what_is_refused_writes_nothing(store: Store) -> None:
    store.add_person("aud", role="auditor")
    store.revoke("bo")
    store.decide(ANA, 1, "not", key=key())
    before = store.head()
    for code, person, number, verdict in (
        ("no_task", ANA, 99, "ade"),
        ("usage", ANA, 2, "maybe"),
        ("role", 4, 2, "ade"),
        ("role", BO, 2, "ade"),
        ("role", 77, 2, "ade"),
        ("decided", ANA, 1, "ade"),
        ("decided", CY, 1, "ade"),
    ):
        with refused(code):
            store.decide(person, number, verdict, key=key())
    with refused("usage"):
        store.decide(ANA, 2, "ade", key=key(), criteria=[5])
    assert store.head() == before


def test_unsure_goes_to_a_lead(store: Store) -> None:
    store.decide(ANA, 1, "unsure", key=key())
    assert state(store, 1) == ("conflict", None)
    (conflict,) = store.conflicts(CY)
    assert (conflict.task, conflict.verdicts, conflict.reviewers) == (1, ("unsure",), (ANA,))
    store.adjudicate(CY, 1, "not", reason="a question, no report", key=key())
    assert state(store, 1) == ("done", 0)
    assert store.conflicts(CY) == []
    check(store)


def test_two_reviews_that_agree_or_differ(store: Store) -> None:
    store.decide(ANA, 9, "ade", key=key())
    assert state(store, 9) == ("second", None)
    with refused("decided"):
        store.decide(ANA, 9, "ade", key=key())
    store.decide(BO, 9, "ade", key=key())
    assert state(store, 9) == ("done", 1)
    store.decide(BO, 10, "not", key=key())
    store.decide(ANA, 10, "ade", key=key())
    assert state(store, 10) == ("conflict", None)
    with refused("role"):
        store.adjudicate(ANA, 10, "ade", reason="r", key=key())
    with refused("usage"):
        store.adjudicate(CY, 10, "unsure", reason="r", key=key())
    with refused("usage"):
        store.adjudicate(CY, 10, "ade", reason="  ", key=key())
    with refused("decided"):
        store.adjudicate(CY, 9, "ade", reason="r", key=key())
    one = key()
    first = store.adjudicate(CY, 10, "ade", reason="he says so", key=one)
    assert store.adjudicate(CY, 10, "ade", reason="he says so", key=one) == type(first)(first.seq, True, 10)
    assert state(store, 10) == ("done", 1)
    check(store)


def test_a_lead_does_not_decide_on_their_own_review_where_there_is_another(store: Store) -> None:
    store.decide(CY, 9, "ade", key=key())
    store.decide(ANA, 9, "not", key=key())
    assert [one.task for one in store.conflicts(CY)] == [9]
    store.add_person("di", role="lead")
    assert store.conflicts(CY) == []
    assert [one.task for one in store.conflicts(4)] == [9]
    with refused("role"):
        store.adjudicate(CY, 9, "ade", reason="r", key=key())
    store.revoke("di")
    store.adjudicate(CY, 9, "ade", reason="r", key=key())
    check(store)


def test_undo_walks_back_any_number(store: Store) -> None:
    made = [store.decide(ANA, number, "ade", key=key()) for number in (1, 2, 3)]
    taken = [store.undo(ANA, key=key()).task for _ in made]
    assert taken == [3, 2, 1]
    with refused("undo_blocked"):
        store.undo(ANA, key=key())
    assert {state(store, number) for number in (1, 2, 3)} == {("open", None)}
    store.decide(ANA, 2, "not", key=key())
    assert store.undo(ANA, key=key()).task == 2
    check(store)


def test_undo_is_an_event_and_a_resent_one_is_harmless(store: Store) -> None:
    store.decide(ANA, 1, "ade", key=key())
    made = store.decide(ANA, 2, "ade", key=key())
    first = store.undo(ANA, key="u1")
    again = store.undo(ANA, key="u1")
    assert (first.seq, first.task, again.seq, again.again, again.task) == (made.seq + 1, 2, made.seq + 1, True, 2)
    assert state(store, 1) == ("done", 1)
    assert store.newest_events(limit=1)[0].fields() == {"takes_back": made.seq, "kind": "decide"}


def test_undo_of_one_by_its_seq(store: Store) -> None:
    first = store.decide(ANA, 1, "ade", key=key())
    store.decide(ANA, 2, "ade", key=key())
    assert store.undo(ANA, key=key(), seq=first.seq).task == 1
    with refused("undo_blocked"):
        store.undo(ANA, key=key(), seq=first.seq)
    with refused("undo_blocked"):
        store.undo(BO, key=key(), seq=first.seq + 1)
    check(store)


def test_undo_stops_where_another_stands_on_it(store: Store) -> None:
    store.decide(ANA, 9, "ade", key=key())
    store.decide(BO, 9, "not", key=key())
    with refused("undo_blocked"):
        store.undo(ANA, key=key())
    store.undo(BO, key=key())
    assert state(store, 9) == ("second", None)
    store.decide(BO, 9, "not", key=key())
    store.adjudicate(CY, 9, "ade", reason="r", key=key())
    with refused("undo_blocked"):
        store.undo(BO, key=key())
    assert store.undo(CY, key=key()).task == 9
    assert state(store, 9) == ("conflict", None)
    store.undo(BO, key=key())
    store.undo(ANA, key=key())
    assert state(store, 9) == ("open", None)
    check(store)


def test_three_posts_are_held_for_ten_minutes(store: Store, clock: Clock) -> None:
    first = store.lease_next(ANA)
    assert [card.task for card in first] == [1, 2, 3]
    assert [card.task for card in store.lease_next(BO)] == [4, 5, 6]
    with refused("not_yours"):
        store.decide(BO, 1, "ade", key=key())
    store.decide(ANA, 1, "ade", key=key())
    assert [card.task for card in store.lease_next(ANA, n=1, showing=[2, 3])] == [7]
    clock.now += LEASE_SECONDS + 1
    assert [card.task for card in store.lease_next(BO)] == [2, 3, 4]
    store.decide(ANA, 7, "ade", key=key())  # late, but nobody else took it
    with refused("not_yours"):
        store.decide(ANA, 2, "ade", key=key())
    check(store)


def test_each_decision_renews_what_a_person_holds(store: Store, clock: Clock) -> None:
    store.lease_next(ANA)
    clock.now += LEASE_SECONDS - 1
    store.decide(ANA, 1, "ade", key=key())
    clock.now += LEASE_SECONDS - 1
    assert [card.task for card in store.lease_next(BO)] == [4, 5, 6]


def test_second_reviews_go_first_and_never_to_the_first_reviewer(store: Store) -> None:
    store.decide(ANA, 11, "ade", key=key())
    assert [card.task for card in store.lease_next(BO, n=2)] == [11, 1]
    assert [card.task for card in store.lease_next(ANA, n=2)] == [2, 3]


def test_later_puts_off_for_this_person_alone(store: Store, clock: Clock) -> None:
    store.lease_next(ANA, n=1)
    one = key()
    made = store.later(ANA, 1, key=one)
    assert store.later(ANA, 1, key=one).seq == made.seq
    assert [card.task for card in store.lease_next(ANA, n=1)] == [2]
    assert [card.task for card in store.lease_next(BO, n=1)] == [1]
    store.release(BO)
    store.release(ANA)
    clock.now += PARKED_SECONDS + 1
    assert [card.task for card in store.lease_next(ANA, n=1)] == [1]
    check(store)


def test_a_post_that_is_taken_back_stays_on_the_screen(store: Store) -> None:
    store.lease_next(ANA, n=1)
    store.decide(ANA, 1, "ade", key=key())
    store.undo(ANA, key=key())
    assert [card.task for card in store.lease_next(BO, n=1)] == [2]
    assert [card.task for card in store.lease_next(ANA, n=1)] == [1]


def test_a_filter_chooses_among_the_tasks(store: Store) -> None:
    assert [card.task for card in store.lease_next(ANA, chosen=Filter(language="en"))] == [2, 4, 6]
    store.release(ANA)
    assert store.lease_next(ANA, chosen=Filter(purpose="audit")) == []
    assert store.lease_next(ANA, chosen=Filter(type="forum")) == []
    assert len(store.lease_next(ANA, chosen=Filter(batch=1, purpose="queue"))) == 3
    assert [card.task for card in store.waiting(BO, chosen=Filter(language="de"), limit=2)] == [1, 3]


def test_a_blind_card_holds_nothing_of_the_model_until_decided(store: Store) -> None:
    blind, assisted = store.card(9, reviewer=ANA), store.card(1, reviewer=ANA)
    hidden = ("purpose", "bundle", "p", "p_calibrated", "threshold", "decision", "evidence")
    assert {getattr(blind, name) for name in hidden} == {None}
    assert (assisted.p, assisted.threshold, assisted.evidence, assisted.purpose) == (0.9, 0.5, (0, 4), "queue")
    assert [card.p for card in store.lease_next(BO, n=12)][-4:] == [None] * 4
    store.release(BO)
    store.decide(ANA, 9, "ade", key=key())
    assert store.card(9, reviewer=ANA).p == 0.9
    assert store.card(9, reviewer=CY).p is None


def test_notes_and_reasons_stand_beside_the_log(store: Store) -> None:
    store.note(ANA, 1, "the brother's post, zebrafinch", key=key())
    store.decide(ANA, 1, "unsure", key=key())
    store.adjudicate(CY, 1, "ade", reason="zebrafinch again", key=key())
    with store.read() as connection:
        assert [text for _, text in notes_of(connection, 1)] == ["the brother's post, zebrafinch", "zebrafinch again"]
    assert not [event for event in store.newest_events() if "zebrafinch" in event.body]
    with refused("usage"):
        store.note(ANA, 1, " \n", key=key())
    check(store)


def test_a_language_is_corrected_by_a_code(store: Store) -> None:
    store.correct_language(ANA, 1, "de_cadec", key=key())
    assert store.newest_events(limit=1)[0].fields() == {"language": "de_cadec"}
    with refused("usage"):
        store.correct_language(ANA, 1, "English, I think", key=key())


def test_the_policy_is_versioned_by_its_hash(store: Store) -> None:
    assert store.policy() == ""
    store.set_policy(CY, "# What counts", key=key())
    first = store.newest_events(limit=1)[0].fields()["sha256"]
    store.set_policy(CY, "# What counts now", key=key())
    assert store.newest_events(limit=1)[0].fields()["sha256"] != first
    assert store.policy() == "# What counts now"
    with refused("role"):
        store.set_policy(ANA, "mine", key=key())


def test_counts_of_tasks(store: Store) -> None:
    store.decide(ANA, 1, "ade", key=key())
    counts = {(one.language, one.purpose, one.state): one.n_tasks for one in store.task_counts()}
    assert counts == {("de", "queue", "done"): 1, ("de", "queue", "open"): 5, ("en", "queue", "open"): 6}


def test_a_decision_row_behind_the_log_is_not_there(store: Store) -> None:
    store.decide(ANA, 9, "ade", key=key())
    with store.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(decision)).scalar() == 1


def test_an_empty_store_gives_nothing(empty_store: Store) -> None:
    empty_store.add_person("ana")
    assert empty_store.lease_next(1) == []
    fill(empty_store, n=1)
    assert len(empty_store.lease_next(1)) == 1
