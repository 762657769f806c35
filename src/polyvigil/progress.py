"""How far a long step is, for a command to show. A function that may take minutes says it; mostly nobody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, float], None]
"""Is told what is done, such as ``scoring``, and the share of it that is done, in [0, 1]."""
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
