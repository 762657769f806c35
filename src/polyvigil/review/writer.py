"""The one thread that writes: what waits together becomes one transaction, and is answered after its COMMIT.

A sync to the disk costs milliseconds, so twenty people share one. Work checks everything before it writes (ReviewError
is raised with nothing written), so a refusal needs no savepoint. Any other error undoes the transaction, and each piece
is run again by itself, so that one cannot fail its neighbours.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from polyvigil.errors import ReviewError, StoreAwayError
from polyvigil.review.engine import Database

Result = TypeVar("Result")
_TOGETHER = 64
"""At most so many pieces of work in one transaction."""


@dataclass(frozen=True, slots=True)
class _Work:
    run: Callable[[sa.Connection], Any]
    future: Future[Any] = field(default_factory=Future)


class Writer:
    """Runs work in the order in which it was submitted, on a thread of its own, until ``close``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="review-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[sa.Connection], Result]) -> Future[Result]:
        """``run(connection)`` in a writing transaction; the future has its result once that is on the disk."""
        work = _Work(run)
        with self._closing:
            if self._closed:
                raise StoreAwayError("the store is being closed", where=self._database.location)
            self._waiting.put(work)
        return work.future

    def close(self) -> None:
        """Do what waits, then end."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _loop(self) -> None:
        while (first := self._waiting.get()) is not None:
            together, ends = [first], False
            while len(together) < _TOGETHER and not self._waiting.empty():
                further = self._waiting.get()
                if further is None:
                    ends = True
                    break
                together.append(further)
            self._write(together)
            if ends:
                return

    def _write(self, together: list[_Work]) -> None:
        together = [work for work in together if work.future.set_running_or_notify_cancel()]
        try:
            outcomes = self._transaction(together)
        except Exception as error:  # whatever the work or the database raised; the transaction is undone
            if len(together) == 1:
                together[0].future.set_exception(error)
                return
            for work in together:
                self._write_alone(work)
            return
        for work, outcome in zip(together, outcomes, strict=True):
            _resolve(work, outcome)

    def _write_alone(self, work: _Work) -> None:
        try:
            outcome = self._transaction([work])[0]
        except Exception as error:  # as above, of this piece alone
            work.future.set_exception(error)
        else:
            _resolve(work, outcome)

    def _transaction(self, together: list[_Work]) -> list[Any]:
        """What each gave, or the ReviewError it refused with; all of it committed."""
        outcomes: list[Any] = []
        with self._database.write() as connection:
            for work in together:
                try:
                    outcomes.append(work.run(connection))
                except ReviewError as refusal:
                    outcomes.append(refusal)
        return outcomes


def _resolve(work: _Work, outcome: Any) -> None:
    if isinstance(outcome, ReviewError):
        work.future.set_exception(outcome)
    else:
        work.future.set_result(outcome)
