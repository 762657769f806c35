"""Random walks of reviewers, leads, undos, expiring leases and put-off posts against a small model in memory."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.review.small import Clock, fill, key

from polyvigil.errors import ReviewError
from polyvigil.review.schema import task
from polyvigil.review.store import open_store
from polyvigil.review.tasks import LEASE_SECONDS, PARKED_SECONDS
from polyvigil.review.verify import verify

TASKS, DOUBLE = 6, 3
ALL_TASKS = range(1, TASKS + 1)
PEOPLE = st.integers(1, 3)  # 3 is the lead
NUMBERS = st.integers(1, TASKS)
VERDICTS = st.sampled_from(["ade", "not", "unsure"])


@dataclass
class Model:
    """What a store must do, in as few words as possible."""

    decisions: dict[int, list[tuple[int, str, int]]] = field(default_factory=lambda: {n: [] for n in ALL_TASKS})
    adjudicated: dict[int, tuple[int, str, int]] = field(default_factory=dict)
    leases: dict[int, tuple[int, float]] = field(default_factory=dict)
    parked: dict[tuple[int, int], float] = field(default_factory=dict)
    steps: int = 0

    def state(self, number: int) -> str:
        """open, second, conflict or done."""
        verdicts = [verdict for _, verdict, _ in self.decisions[number]]
        if number in self.adjudicated:
            return "done"
        if "unsure" in verdicts or len(set(verdicts)) == 2:
            return "conflict"
        needed = 2 if number > TASKS - DOUBLE else 1
        return "done" if len(verdicts) == needed else "second" if verdicts else "open"

    def holder(self, number: int, now: float) -> int:
        person, until = self.leases.get(number, (0, 0.0))
        return person if until >= now else 0

    def due(self, number: int, person: int) -> bool:
        """Whether the task waits for this person."""
        return self.state(number) in ("open", "second") and person not in [one for one, _, _ in self.decisions[number]]

    def may_decide(self, number: int, person: int, now: float) -> bool:
        return self.due(number, person) and self.holder(number, now) in (0, person)

    def next(self, person: int, n: int, now: float) -> list[int]:
        """What this person is given: what they hold, then seconds, then by number (the rank of this store)."""
        self.leases = {number: held for number, held in self.leases.items() if held[1] >= now}
        for number, (one, _) in self.leases.items():
            if one == person:
                self.leases[number] = (person, now + LEASE_SECONDS)
        order = sorted(ALL_TASKS, key=lambda number: (self.state(number) != "second", number))
        held = [number for number in order if self.due(number, person) and self.leases.get(number, (0,))[0] == person]
        free = [
            number
            for number in order
            if self.due(number, person) and number not in self.leases and self.parked.get((number, person), 0.0) < now
        ]
        given = [*held, *free][:n]
        for number in given:
            self.leases[number] = (person, now + LEASE_SECONDS)
        return given

    def last(self, person: int) -> tuple[str, int] | None:
        """The newest standing act of a person: its kind and task."""
        acts = [(step, "decide", n) for n, made in self.decisions.items() for one, _, step in made if one == person]
        acts += [(step, "adjudicate", n) for n, (one, _, step) in self.adjudicated.items() if one == person]
        return max(acts)[1:] if acts else None


class Reviewing(RuleBasedStateMachine):
    """The store and the model do the same, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock(time.time())
        self.store = open_store(Path(self.folder.name) / "review.db", create=True, clock=self.clock)
        for name, role in (("ana", "reviewer"), ("bo", "reviewer"), ("cy", "lead")):
            self.store.add_person(name, role=role)  # type: ignore[arg-type]
        fill(self.store, n=TASKS, double=DOUBLE)
        self.model = Model()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def renew(self, person: int) -> None:
        for number, (one, _) in self.model.leases.items():
            if one == person:
                self.model.leases[number] = (one, self.clock.now + LEASE_SECONDS)

    @rule(person=PEOPLE, number=NUMBERS, verdict=VERDICTS)
    def decide(self, person: int, number: int, verdict: str) -> None:
        one = key()
        if not self.model.may_decide(number, person, self.clock.now):
            with pytest.raises(ReviewError) as caught:
                self.store.decide(person, number, verdict, key=one)
            assert caught.value.code in ("decided", "not_yours")
            return
        made = self.store.decide(person, number, verdict, key=one)
        assert self.store.decide(person, number, verdict, key=one).seq == made.seq
        self.model.steps += 1
        self.model.decisions[number].append((person, verdict, self.model.steps))
        self.model.leases.pop(number, None)
        self.renew(person)

    @rule(person=PEOPLE, n=st.integers(1, 3))
    def go_on(self, person: int, n: int) -> None:
        given = [card.task for card in self.store.lease_next(person, n=n)]
        assert given == self.model.next(person, n, self.clock.now)

    @rule(person=PEOPLE, number=NUMBERS)
    def later(self, person: int, number: int) -> None:
        if not self.model.may_decide(number, person, self.clock.now):
            with pytest.raises(ReviewError):
                self.store.later(person, number, key=key())
            return
        self.store.later(person, number, key=key())
        self.model.parked[number, person] = self.clock.now + PARKED_SECONDS
        if self.model.holder(number, self.clock.now) == person:
            del self.model.leases[number]

    @rule(person=PEOPLE)
    def undo(self, person: int) -> None:
        last = self.model.last(person)
        if last is None or self.stands_on(last, person):
            with pytest.raises(ReviewError) as caught:
                self.store.undo(person, key=key())
            assert caught.value.code == "undo_blocked"
            return
        assert self.store.undo(person, key=key()).task == last[1]
        self.take_back(*last)

    def stands_on(self, last: tuple[str, int], person: int) -> bool:
        kind, number = last
        made = self.model.decisions[number]
        return kind == "decide" and (number in self.model.adjudicated or made[-1][0] != person)

    def take_back(self, kind: str, number: int) -> None:
        if kind == "adjudicate":
            del self.model.adjudicated[number]
            return
        person, _, _ = self.model.decisions[number].pop()
        if not self.model.holder(number, self.clock.now):
            self.model.leases[number] = (person, self.clock.now + LEASE_SECONDS)

    @rule(number=NUMBERS, verdict=st.sampled_from(["ade", "not"]))
    def adjudicate(self, number: int, verdict: str) -> None:
        if self.model.state(number) != "conflict":
            with pytest.raises(ReviewError) as caught:
                self.store.adjudicate(3, number, verdict, reason="because", key=key())
            assert caught.value.code == "decided"
            return
        self.store.adjudicate(3, number, verdict, reason="because", key=key())
        self.model.steps += 1
        self.model.adjudicated[number] = (3, verdict, self.model.steps)

    @rule(share=st.sampled_from([0.3, 1.1, 7.0]))
    def wait(self, share: float) -> None:
        self.clock.now += share * LEASE_SECONDS

    @invariant()
    def states_are_those_of_the_model(self) -> None:
        with self.store.read() as connection:
            states = dict(connection.execute(sa.select(task.c.id, task.c.state)).all())  # type: ignore[arg-type]
            assert states == {number: self.model.state(number) for number in ALL_TASKS}
            found = verify(connection, store="", mac_key=self.store.mac_key)
        assert found.breaks == ()


TestReviewing = Reviewing.TestCase
TestReviewing.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
