"""Work on what comes next while the present is in use: reading and tokenising need no device that computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(items: Iterator[T], prepare: Callable[[T], R]) -> Generator[tuple[T, R], None, None]:
    """Each item with what ``prepare`` makes of it, in order; the next one is drawn and prepared in a thread meanwhile.

    No more than that one is ahead. What drawing or preparing raises is raised here, in its turn; once this ends, for
    whatever reason, nothing is drawn any more.
    """

    def draw() -> tuple[T, R] | None:
        for item in items:
            return item, prepare(item)
        return None

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(draw)
        while (found := coming.result()) is not None:
            coming = thread.submit(draw)
            yield found
