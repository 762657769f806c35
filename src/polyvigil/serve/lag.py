"""How long the event loop takes to come round: what a request waits before anything is done with it at all.

The queue knows how long posts wait to be scored. Where requests are small and many, reading and refusing them is the
larger part of the work, and the queue stays short while each request waits for the others.
"""

from __future__ import annotations

import asyncio

_NEW = 0.3  # of the newest turn in the mean
_FRESH = 0.25  # seconds after which what was measured says nothing any more


class LoopLag:
    """Measures turns of the event loop when asked to; it costs nothing while nobody asks."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._measured_at = float("-inf")
        self._measuring = False

    def measure(self) -> None:
        """Begin to measure the turn that is running. Call it on the event loop, at each request."""
        if not self._measuring:
            self._measuring = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._turned, loop, loop.time())

    @property
    def seconds(self) -> float:
        """Of a turn, by a moving average; 0 where none was measured of late."""
        return self._at(asyncio.get_running_loop().time())

    def _at(self, now: float) -> float:
        return self._mean if now - self._measured_at < _FRESH + 2 * self._mean else 0.0

    def _turned(self, loop: asyncio.AbstractEventLoop, begun: float) -> None:
        now = loop.time()
        before = self._at(now)
        self._mean = before + _NEW * (now - begun - before)
        self._measured_at, self._measuring = now, False
