"""One thread that scores: what has queued while it was busy is its next batch.

In come tickets, the posts of one request each, from the event loop; out go their results, to the event loop again. An
idle thread begins at once. A busy one then takes what waits, as much as it can score in a quarter of a second, a few
posts of each request in turn, so that a request of one post does not wait for all of one of 256. Always holds: a ticket
ends exactly once; no post's result depends on which others are in its batch; a batch that raises is scored again post
by post, so that one post fails alone; a thread or process that dies takes the requests of its batch with it, no others.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from polyvigil.web.refusal import RefusalError

LOG = logging.getLogger("polyvigil.serve")

P = TypeVar("P")
R = TypeVar("R")

_BATCH_SECONDS = 0.25
_LARGEST_BATCH = 256  # weight
_TURN = 32  # weight that one request has scored before the next has its turn
_WEIGHT_CHARACTERS = 1000
_FORGET = 0.8  # of earlier batches in the measured rate, at each batch
_PATIENCE = 1.0  # seconds after which the second lane goes first
_RESTART_PAUSE = 0.2


def weight_of(text: str) -> int:
    """What a post weighs in queue and batch: 1, and one more for every 1,000 characters."""
    return 1 + len(text) // _WEIGHT_CHARACTERS


@dataclass(slots=True, eq=False)
class Ticket(Generic[P, R]):
    """The posts of one request on their way through the queue."""

    posts: Sequence[P]
    weights: Sequence[int]
    score: Callable[[Sequence[P]], Sequence[R]]
    """Scores posts of tickets that have the same function; what it raises fails a post alone."""
    failed: Callable[[int], R]
    """The result of the post of this index where scoring it raised."""
    done: asyncio.Future[list[R]]
    deadline: float = float("inf")
    """Of ``time.monotonic``."""
    results: list[R | None] = field(default_factory=list)
    taken: int = 0
    """Posts that a batch has taken."""
    left: int = 0
    """Posts without a result."""
    cancelled: bool = False
    """Nobody waits for it: it is dropped before it is scored."""
    lane: int = 0
    queued: float = 0.0

    def __post_init__(self) -> None:
        self.results = [None] * len(self.posts)
        self.left = len(self.posts)


@dataclass(slots=True)
class _Pace:
    """How fast the posts of one lane are scored, by a moving average, and how many wait or are being scored."""

    weight: float
    seconds: float = 1.0
    waiting: int = 0

    @property
    def rate(self) -> float:
        """Weight per second, of late."""
        return self.weight / self.seconds

    @property
    def time(self) -> float:
        """Seconds until all that waits is scored."""
        return self.waiting / self.rate

    def scored(self, weight: int, seconds: float) -> None:
        self.waiting -= weight
        self.weight = _FORGET * self.weight + weight
        self.seconds = _FORGET * self.seconds + seconds


@dataclass(frozen=True, slots=True)
class BatchEvent:
    """What a batch took, for metrics."""

    posts: int
    failed: int
    seconds: float
    waits: tuple[float, ...]
    """Seconds that each request whose first post is in it has waited."""


class ScoringStoppedError(Exception):
    """What scores has ended with the posts that it was given: they fail together, none of them is tried again."""


class ScoringQueue(Generic[P, R]):
    """The queue and its thread. All methods but ``start`` and ``stop`` may be used from the event loop."""

    def __init__(self, observe: Callable[[BatchEvent], None], *, rate: float = 1000.0) -> None:
        """``rate``: weight per second to begin with. Lane 1 goes behind lane 0; each has a rate of its own."""
        self._observe = observe
        self._lanes: tuple[deque[Ticket[P, R]], ...] = (deque(), deque())
        self._first: deque[Ticket[P, R]] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._paces = (_Pace(rate), _Pace(rate))
        self._batch: list[tuple[Ticket[P, R], int]] = []
        self.deaths = 0
        """Of the thread, or of the process that scores for it."""
        self.last_scored = float("-inf")
        """When a post was last scored without an error, by ``time.monotonic``."""

    @property
    def waiting(self) -> int:
        """Weight of the posts that wait or are being scored."""
        return sum(pace.waiting for pace in self._paces)

    def expected_wait(self, lane: int = 0) -> float:
        """Seconds until a post that came now would be scored."""
        return sum(pace.time for pace in self._paces[: lane + 1])

    @property
    def thread_id(self) -> int | None:
        """Of the thread that scores."""
        return self._thread.ident if self._thread else None

    def start(self) -> None:
        """Begin to score."""
        self._thread = threading.Thread(target=self._run, args=(0.0,), name="polyvigil-scoring", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its batch; what waits is refused."""
        with self._condition:
            self._stopping = True
            waiting = [*self._first, *self._lanes[0], *self._lanes[1]]
            self._condition.notify()
        for ticket in waiting:
            _fail(ticket, RefusalError("draining", "the service has stopped", hint="try another", retry_after=1))
        if self._thread:
            self._thread.join(timeout=5)

    def add(self, ticket: Ticket[P, R], *, lane: int = 0, first: bool = False) -> None:
        """Queue a ticket. ``first``: before all others."""
        ticket.queued, ticket.lane = time.monotonic(), lane
        with self._condition:
            (self._first if first else self._lanes[lane]).append(ticket)
            self._paces[lane].waiting += sum(ticket.weights)
            self._condition.notify()

    def _run(self, pause: float) -> None:
        time.sleep(pause)
        try:
            while batch := self._take():
                self._score(batch)
                del batch  # or the last one would hold its bundle, which may have been replaced, until the next comes
        except BaseException:
            self._replace_thread()

    def _replace_thread(self) -> None:
        """What a dying thread does: its batch has failed, and a new thread takes the rest."""
        self.deaths += 1
        self.last_scored = float("-inf")
        with self._condition:
            batch, self._batch = self._batch, []
            tickets = list({id(ticket): ticket for ticket, _ in batch}.values())
            for ticket in tickets:
                ticket.cancelled = True
            for ticket, index in batch:
                self._paces[ticket.lane].waiting -= ticket.weights[index]
        for ticket in tickets:
            message = "what scores has died while it had this request"
            _fail(ticket, RefusalError("scoring_stopped", message, hint="send it again", retry_after=1))
        self._thread = threading.Thread(target=self._run, args=(_RESTART_PAUSE,), name="polyvigil-scoring", daemon=True)
        self._thread.start()

    def _take(self) -> list[tuple[Ticket[P, R], int]]:
        """The next batch, once there is one; empty when it is time to end."""
        with self._condition:
            while not self._stopping:
                for lane in self._order():
                    if batch := self._fill(lane):
                        self._batch = batch
                        return batch
                self._condition.wait()
            return []

    def _order(self) -> tuple[deque[Ticket[P, R]], ...]:
        main, second = self._lanes
        overdue = second and second[0].queued < time.monotonic() - _PATIENCE
        return (self._first, second, main) if overdue else (self._first, main, second)

    def _fill(self, lane: deque[Ticket[P, R]]) -> list[tuple[Ticket[P, R], int]]:
        """Take posts of the tickets of a lane in turn, all of them scored by the function of the first."""
        pace = self._paces[lane[0].lane] if lane else self._paces[0]
        room = min(max(pace.rate * _BATCH_SECONDS, 1.0), _LARGEST_BATCH)
        batch: list[tuple[Ticket[P, R], int]] = []
        later: list[Ticket[P, R]] = []
        now = time.monotonic()
        while lane and (room > 0 or not batch):
            ticket = lane.popleft()
            if ticket.cancelled or ticket.deadline <= now:
                self._drop(ticket)
                continue
            if batch and ticket.score != batch[0][0].score:
                later.append(ticket)
                continue
            turn = _TURN
            while ticket.taken < len(ticket.posts) and turn > 0 and (room > 0 or not batch):
                weight = ticket.weights[ticket.taken]
                batch.append((ticket, ticket.taken))
                ticket.taken += 1
                turn -= weight
                room -= weight
            if ticket.taken < len(ticket.posts):
                lane.append(ticket)
        lane.extendleft(reversed(later))
        return batch

    def _drop(self, ticket: Ticket[P, R]) -> None:
        self._paces[ticket.lane].waiting -= sum(ticket.weights[ticket.taken :])
        if not ticket.cancelled:
            _fail(ticket, RefusalError("deadline", "not scored in the time that the request gave"))

    def _score(self, batch: list[tuple[Ticket[P, R], int]]) -> None:
        started = time.monotonic()
        waits = tuple(started - ticket.queued for ticket, index in batch if index == 0)
        score = batch[0][0].score
        posts = [ticket.posts[index] for ticket, index in batch]
        results, failed = self._scored(score, batch, posts)
        seconds = max(time.monotonic() - started, 1e-6)
        if failed < len(batch):
            self.last_scored = time.monotonic()
        complete: list[Ticket[P, R]] = []
        weight = 0
        for (ticket, index), result in zip(batch, results, strict=True):
            ticket.results[index] = result
            ticket.left -= 1
            weight += ticket.weights[index]
            if not ticket.left:
                complete.append(ticket)
        with self._condition:
            self._batch = []
            self._paces[batch[0][0].lane].scored(weight, seconds)
        self._observe(BatchEvent(len(batch), failed, seconds, waits))
        _deliver(complete)

    def _scored(
        self, score: Callable[[Sequence[P]], Sequence[R]], batch: list[tuple[Ticket[P, R], int]], posts: list[P]
    ) -> tuple[Sequence[R], int]:
        """A result for each post, and how many of them failed: all of them together, else one by one."""
        try:
            return score(posts), 0
        except ScoringStoppedError:
            raise
        except Exception as error:
            LOG.error("%d posts could not be scored together: %s", len(posts), type(error).__name__)
            results: list[R] = []
            failed = 0
            for (ticket, index), post in zip(batch, posts, strict=True):
                try:
                    results.extend(score([post]))
                except ScoringStoppedError:
                    raise
                except Exception:
                    failed += 1
                    results.append(ticket.failed(index))
            return results, failed


def _deliver(tickets: list[Ticket[P, R]]) -> None:
    """Give the results to the event loop, with one wake-up for all."""
    if not tickets:
        return

    def resolve() -> None:
        for ticket in tickets:
            if not ticket.done.done():
                ticket.done.set_result([result for result in ticket.results if result is not None])

    _in_loop(tickets[0].done.get_loop(), resolve)


def _fail(ticket: Ticket[P, R], error: Exception) -> None:
    def resolve() -> None:
        if not ticket.done.done():
            ticket.done.set_exception(error)

    _in_loop(ticket.done.get_loop(), resolve)


def _in_loop(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(action)
