"""Work on what comes next while the present is in use: reading and tokenising need no device that computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(items: Iterator[T], transform: Callable[[T], R]) -> Generator[tuple[T, R], None, None]:
    """Each item with what ``prepare`` makes of it, in order; the next one is drawn and prepared in a thread meanwhile.

    No more than that one is ahead. What drawing or preparing raises is raised here, in its turn; once this ends, for
    whatever reason, nothing is drawn any more.
    """

    def compute_next() -> tuple[T, R] | None:
        for item in items:
            return item, transform(item)
        return None

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(compute_next)
        while (current := coming.result()) is not None:
            coming = thread.submit(compute_next)
            yield current
