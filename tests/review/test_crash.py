"""SIGKILL while people decide: nothing that was acknowledged is lost, and the log is whole (benchmarks/review_crash.py
does it a hundred times)."""

from __future__ import annotations

from benchmarks.review_crash import Round, crash_round, fill_store
from tests.review.conftest import PostgreSQL
from tests.review.small import key

from polyvigil.review.store import open_store
from polyvigil.review.verify import verify


def test_a_kill_loses_nothing_that_was_acknowledged(location: str) -> None:
    fill_store(location, posts=400, people=12)
    rounds: list[Round] = [crash_round(location, people=12, after=after) for after in (3, 25, 60)]
    assert [(one.lost, one.breaks) for one in rounds] == [((), ())] * 3
    assert sum(one.acknowledged for one in rounds) >= 88


def test_the_database_may_crash_too(postgresql: PostgreSQL) -> None:
    location = postgresql.empty_database("crashed")
    fill_store(location, posts=50, people=2)
    with open_store(location) as store:
        made = [store.decide(1, card.task, "ade", key=key()).seq for card in store.lease_next(1, n=10)]
        postgresql.stop()
    postgresql.start()
    with open_store(postgresql.url("crashed")) as store, store.read() as connection:
        assert {event.seq for event in store.newest_events(kind="decide")} == set(made)
        assert verify(connection, store="", mac_key=store.mac_key).breaks == ()
