"""How far a long step is, for a command to show. A function that may take minutes says it; mostly nobody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Listener = Callable[[str, float], None]
"""Is told what is done, such as ``scoring``, and the share of it that is done, in [0, 1]."""
MetricsLog = Callable[[int, Mapping[str, float]], None]
"""Is told, at a step of a training, values by their names: ``loss``, ``learning_rate``."""
T = TypeVar("T")
_EVERY = 1000  # items
_LISTENER: ContextVar[Listener | None] = ContextVar("polyvigil_progress", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Inside, and in this thread, ``listener`` is told what ``report_share`` is given."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_share(what: str, done: float, total: float = 1) -> None:
    """Say that ``done`` of ``total`` of a long step are done."""
    if (listener := _LISTENER.get()) and total:
        listener(what, min(done / total, 1.0))


def tracked(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The items as they are, of which there are ``total``; how many have been given is said now and then."""
    for number, item in enumerate(items):
        if number % _EVERY == 0:
            report_share(what, number, total)
        yield item
