"""SIGTERM and SIGHUP end a command as Ctrl-C does: its work is saved, the way to go on printed; 143 and 129 are said.

A signal that the shell has set to be ignored, as ``nohup`` does, stays ignored. Of processes that torchrun has started
each leaves the signals as they are: torchrun ends the others by SIGTERM, and they must not wait for one that is gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_received: list[int] = []


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Inside, each of the signals raises KeyboardInterrupt, and ``interrupt_code`` knows which it was."""
    _received.clear()
    if {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        yield
        return
    with _handler(_interrupt):
        yield


@contextmanager
def request_stop(on_first: Callable[[], None]) -> Iterator[None]:
    """Inside, the first signal calls ``on_first`` alone; the next one raises KeyboardInterrupt."""
    seen: list[int] = []

    def handle(number: int, _: object) -> None:
        if seen:
            _interrupt(number, None)
        seen.append(number)
        _received.append(number)
        on_first()

    names = _NAMES[:1] if {"RANK", "WORLD_SIZE"} <= os.environ.keys() else _NAMES
    with _handler(handle, names):
        yield


def interrupt_code() -> int:
    """The exit code of a command that was interrupted: 130, or 143 or 129 where that signal came."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


def _interrupt(number: int, _: object) -> None:
    _received.append(number)
    raise KeyboardInterrupt


@contextmanager
def _handler(handle: Callable[[int, object], None], names: tuple[str, ...] = _NAMES) -> Iterator[None]:
    before = {}
    try:
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            held = signal.getsignal(number)
            if held is not signal.SIG_IGN and held is not None:
                before[number] = signal.signal(number, handle)
    except ValueError:  # not in the main thread, where no signal arrives
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
