"""The queue: batches, turns of requests, two lanes with a pace each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from polyvigil.serve.batching import BatchEvent, ScoringQueue, Ticket, weight_of

Queue = ScoringQueue[int, int]
Score = Callable[[Sequence[int]], list[int]]


class Scorer:
    """Doubles numbers, a batch at a time, each time when it is let; knows its batches."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.began, self.let = threading.Event(), threading.Event()
        if not held:
            self.let.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.began.set()
        assert self.let.wait(5)
        return [2 * number for number in numbers]


@contextmanager
def started(*, rate: float = 1000.0) -> Iterator[tuple[Queue, list[BatchEvent]]]:
    events: list[BatchEvent] = []
    queue: Queue = ScoringQueue(events.append, rate=rate)
    queue.start()
    try:
        yield queue, events
    finally:
        queue.stop()


def ticket(numbers: Sequence[int], score: Score, **options: Any) -> Ticket[int, int]:
    """Must be made in an event loop."""
    done = asyncio.get_running_loop().create_future()
    return Ticket(numbers, [1] * len(numbers), score, lambda index: -index, done, **options)


def test_weight_of_a_post() -> None:
    assert [weight_of("x" * length) for length in (0, 999, 1000, 100_000)] == [1, 1, 2, 101]


def test_what_queued_while_it_was_busy_is_the_next_batch() -> None:
    async def run(queue: Queue) -> None:
        scorer = Scorer(held=True)
        first = ticket([0], scorer)
        queue.add(first)
        await asyncio.to_thread(scorer.began.wait, 5)
        others = [ticket([number], scorer) for number in range(1, 6)]
        for other in others:
            queue.add(other)
        assert queue.waiting == 6
        scorer.let.set()
        assert await asyncio.gather(*(one.done for one in (first, *others))) == [[0], [2], [4], [6], [8], [10]]
        assert scorer.batches == [[0], [1, 2, 3, 4, 5]]
        assert queue.waiting == 0

    with started() as (queue, events):
        asyncio.run(run(queue))
        assert [event.posts for event in events] == [1, 5]


def test_a_large_request_does_not_go_before_small_ones() -> None:
    """Requests have turns of 32 posts; a batch is what the measured rate does in a quarter of a second."""

    async def run(queue: Queue) -> None:
        scorer = Scorer(held=True)
        queue.add(ticket([-1], scorer))
        await asyncio.to_thread(scorer.began.wait, 5)
        large, small = ticket(range(256), scorer), ticket([1000], scorer)
        queue.add(large)
        queue.add(small)
        scorer.let.set()
        assert await small.done == [2000]
        assert await large.done == [2 * number for number in range(256)]
        position = [number for batch in scorer.batches[1:] for number in batch].index(1000)
        assert position == 32

    with started(rate=200.0) as (queue, _):
        asyncio.run(run(queue))


def test_explanations_wait_behind_scores_and_slow_none_of_their_estimates() -> None:
    async def run(queue: Queue) -> None:
        order: list[str] = []

        def explain(numbers: Sequence[int]) -> list[int]:
            order.append("explain")
            time.sleep(0.3 * len(numbers))
            return list(numbers)

        def score(numbers: Sequence[int]) -> list[int]:
            order.append("score")
            return list(numbers)

        scorer = Scorer(held=True)
        queue.add(ticket([0], scorer))
        await asyncio.to_thread(scorer.began.wait, 5)
        late, early = ticket([1, 2], explain), ticket([3], score)
        queue.add(late, lane=1)
        queue.add(early)
        scorer.let.set()
        await asyncio.gather(late.done, early.done)
        assert order[0] == "score"
        queue.add(waiting := ticket([4] * 50, score))
        await waiting.done
        assert queue.expected_wait() < 0.01
        assert queue.expected_wait(1) < 0.01

    with started(rate=10.0) as (queue, _):
        asyncio.run(run(queue))


def test_one_that_fails_fails_alone_and_others_are_scored_again() -> None:
    async def run(queue: Queue) -> None:
        def picky(numbers: Sequence[int]) -> list[int]:
            if 7 in numbers:
                raise ValueError
            return list(numbers)

        assert await _result(queue, ticket([5, 7, 9], picky)) == [5, -1, 9]
        assert await _result(queue, ticket([7], picky)) == [0]

    with started() as (queue, events):
        asyncio.run(run(queue))
        assert [(event.posts, event.failed) for event in events] == [(3, 1), (1, 1)]


async def _result(queue: Queue, one: Ticket[int, int]) -> list[int]:
    queue.add(one)
    return await one.done


def test_what_is_cancelled_or_too_late_is_dropped() -> None:
    async def run(queue: Queue) -> None:
        scorer = Scorer(held=True)
        queue.add(first := ticket([0], scorer))
        await asyncio.to_thread(scorer.began.wait, 5)
        late = ticket([1], scorer, deadline=time.monotonic())
        gone = ticket([2], scorer)
        queue.add(late)
        queue.add(gone)
        gone.cancelled = True
        queue.add(last := ticket([3], scorer))
        scorer.let.set()
        assert await asyncio.gather(first.done, last.done) == [[0], [6]]
        assert scorer.batches == [[0], [3]]
        with pytest.raises(Exception, match="not scored in the time"):
            await late.done
        assert queue.waiting == 0

    with started() as (queue, _):
        asyncio.run(run(queue))


def test_what_waits_is_refused_when_it_stops() -> None:
    async def run(queue: Queue) -> None:
        scorer = Scorer(held=True)
        queue.add(first := ticket([0], scorer))
        await asyncio.to_thread(scorer.began.wait, 5)
        queue.add(second := ticket([1], scorer))
        stopping = asyncio.create_task(asyncio.to_thread(queue.stop))
        await asyncio.sleep(0.1)
        scorer.let.set()
        await stopping
        assert await first.done == [0]
        with pytest.raises(Exception, match="has stopped"):
            await second.done

    with started() as (queue, _):
        asyncio.run(run(queue))
