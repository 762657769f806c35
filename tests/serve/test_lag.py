"""A service that is behind says so early: before a body is parsed, and where the event loop itself is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.serve.conftest import Running

from polyvigil.serve import exchange
from polyvigil.serve.batching import ScoringQueue
from polyvigil.serve.lag import LoopLag

MakePost = Callable[..., dict[str, Any]]


def test_a_slow_turn_is_measured_and_forgotten() -> None:
    async def turns() -> tuple[float, float, float, float]:
        lag = LoopLag()
        at_first = lag.seconds
        lag.measure()
        lag.measure()  # the same turn: measured once
        time.sleep(0.2)
        await asyncio.sleep(0)
        one = lag.seconds
        lag.measure()
        time.sleep(0.2)
        await asyncio.sleep(0)
        two = lag.seconds
        await asyncio.sleep(0.25 + 2 * two + 0.05)
        return at_first, one, two, lag.seconds

    at_first, one, two, later = asyncio.run(turns())
    assert at_first == later == 0
    assert one == pytest.approx(0.3 * 0.2, rel=0.5)
    assert one < two < 1


def test_quick_turns_are_no_lag() -> None:
    async def turns() -> float:
        lag = LoopLag()
        for _ in range(50):
            lag.measure()
            await asyncio.sleep(0)
        return lag.seconds

    assert asyncio.run(turns()) < 0.1


def test_requests_are_refused_where_the_event_loop_is_behind(
    running: Running, post: MakePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoopLag, "seconds", 1000.0)
    answered = running.score(post())
    assert (answered.status, answered.code) == (429, "busy")
    assert int(answered.headers["retry-after"]) >= 1
    assert running.request("GET", "/livez").status == 200
    monkeypatch.undo()
    assert running.score(post()).status == 200


def test_what_is_refused_was_not_parsed(running: Running, post: MakePost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others came while the body was read: the wait was short before it, and is long behind it."""
    waits = iter([0.0, 0.0, 1000.0])  # by its head, before its body is read, before that is parsed
    parsed: list[int] = []
    monkeypatch.setattr(ScoringQueue, "expected_wait", lambda *_: next(waits, 0.0))
    monkeypatch.setattr(exchange, "read_json", lambda body, **_: parsed.append(len(body)))
    answered = running.score(post())
    assert (answered.status, answered.code) == (429, "busy")
    assert parsed == []
