"""Many threads and processes write at once: nothing lost, nothing twice, one failure harms no neighbour."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from tests.review.small import fill, key

from polyvigil.errors import ReviewError, StoreAwayError
from polyvigil.review import event_log
from polyvigil.review.event_log import append
from polyvigil.review.schema import decision
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify


def test_twenty_people_decide_at_once(empty_store: Store) -> None:
    people = [empty_store.add_person(f"person {n}")[0].id for n in range(20)]
    fill(empty_store, n=200, double=50)
    made: list[tuple[int, int]] = []

    def work(person: int) -> None:
        for _ in range(10):
            for card in empty_store.lease_next(person, n=2):
                made.append((empty_store.decide(person, card.task, "ade", key=key()).seq, card.task))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, people))
    seqs = [seq for seq, _ in made]
    assert len(set(seqs)) == len(seqs) == 250 == empty_store.head().seq - 21
    with empty_store.read() as connection:
        assert verify(connection, store="", mac_key=empty_store.mac_key).breaks == ()
        rows = connection.execute(sa.select(decision.c.task, decision.c.seq)).all()
    assert sorted((row.seq, row.task) for row in rows) == sorted(made)


def test_two_processes_write_one_chain(location: str) -> None:
    """Two stores on one database, as a command beside the server: each sees what the other wrote."""
    with open_store(location, create=True) as one, open_store(location) as other:
        one.add_person("ana")
        fill(one, n=60)
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(
                    lambda each: [each[0].decide(1, n, "ade", key=key()) for n in each[1]],
                    [(one, range(1, 31)), (other, range(31, 61))],
                )
            )
        with one.read() as connection:
            found = verify(connection, store="", mac_key=one.mac_key)
    assert (found.breaks, found.n_decisions) == ((), 60)


def test_a_failure_harms_no_neighbour(store: Store) -> None:
    """Work that waits together is one transaction; where one raises, the others are in the store all the same."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: sa.Connection) -> None:
        begun.set()
        go_on.wait(10)

    def fail(connection: sa.Connection) -> None:
        append(connection, now=0, reviewer=0, kind="export", body={})
        raise ZeroDivisionError

    def add(connection: sa.Connection) -> int:
        return append(connection, now=0, reviewer=0, kind="export", body={}).seq

    def refuse(_: sa.Connection) -> None:
        raise ReviewError("usage", "no")

    before = store.head().seq
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(store.write, hold)]
        assert begun.wait(10)
        waiting += [pool.submit(store.write, run) for run in (add, fail, refuse, add)]
        while store._writer._waiting.qsize() < 4:
            pass
        go_on.set()
    assert sorted([waiting[1].result(), waiting[4].result()]) == [before + 1, before + 2]
    with pytest.raises(ZeroDivisionError):
        waiting[2].result()
    with pytest.raises(ReviewError):
        waiting[3].result()
    assert store.head().seq == before + 2


def test_a_closed_store_takes_no_more(location: str) -> None:
    store = open_store(location, create=True)
    store.close()
    with pytest.raises(StoreAwayError, match="being closed"):
        store.add_person("ana")
    store.close()


def test_the_store_says_that_it_can_be_written_to(store: Store) -> None:
    assert store.is_alive()
    assert event_log.new_key() != event_log.new_key()
