"""A small store for tests: posts and tasks put in directly, so that tests of deciding need no file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from polyvigil.review import event_log
from polyvigil.review.decisions import decide
from polyvigil.review.event_log import keyed_hash
from polyvigil.review.schema import batch, post, scoring, task, utc_text
from polyvigil.review.store import Store
from polyvigil.review.tasks import Card, lease_next

BUNDLE = "0123456789abcdef"
_numbers = itertools.count(1)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def key() -> str:
    """A key that no other request has."""
    return f"key-{next(_numbers)}"


def fill(store: Store, *, n: int, double: int = 0, blind: int = 0) -> None:
    """Put ``n`` flagged posts and their tasks, 1 to n, into an empty store; the last ``double`` are read by two people.

    The last ``blind`` of the tasks, and those that two people read, are blind.
    """
    posts, scores, tasks = [], [], []
    for number in range(1, n + 1):
        text, two = f"post number {number}", number > n - double
        mac = keyed_hash(store.mac_key, text)
        posts.append(
            {"id": number, "batch": 1, "source_id": f"s{number}", "language": "de" if number % 2 else "en"}
            | {"type": "", "text": text, "raw_text": None, "text_mac": mac, "copy_of": None}
        )
        scores.append(
            {"post": number, "bundle": BUNDLE, "p": 0.9, "p_calibrated": 1 - number / (2 * n), "threshold": 0.5}
            | {"threshold_source": "own", "decision": 1, "spread": 0.0, "flags": ""}
            | {"evidence_start": 0, "evidence_end": 4}
        )
        tasks.append(
            {"id": number, "post": number, "bundle": BUNDLE, "purpose": "queue", "inclusion_p": 1.0, "stratum": ""}
            | {"mode": "blind" if two or number > n - blind else "assisted", "rank": number / (2 * n)}
            | {"language": "de" if number % 2 else "en", "reviews": 2 if two else 1, "state": "open"}
        )

    def run(connection: sa.Connection) -> None:
        now = store.clock()
        connection.execute(
            sa.insert(batch).values(
                id=1,
                file_name="small.csv",
                file_sha256="0" * 64,
                bundle=BUNDLE,
                n_posts=n,
                n_rows=n,
                state="ready",
                added_at=utc_text(now),
            )
        )
        connection.execute(sa.insert(post), posts)
        connection.execute(sa.insert(scoring), scores)
        connection.execute(sa.insert(task), tasks)
        event_log.append(connection, now=now, reviewer=0, kind="add", body={"tasks": n, "closed": 0})

    store.write(run)


def decide_all(store: Store, people: Sequence[int], verdict: Callable[[Card, int], str]) -> None:
    """Let each person in turn decide all that waits for them, in one transaction; ``verdict`` says how."""

    def run(connection: sa.Connection) -> None:
        now = store.clock()
        for person in people:
            while cards := lease_next(connection, now=now, reviewer=person, n=50):
                for card in cards:
                    given = {"verdict": verdict(card, person), "key": key(), "seconds": 3.0}
                    decide(connection, now=now, reviewer=person, number=card.task, **given)  # type: ignore[arg-type]

    store.write(run)
