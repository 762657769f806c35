"""Work on texts that is done once in a call, however many members ask for it: normalising and tokenising."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
MemoCache = dict[Hashable, dict[str, object]]
_DONE: ContextVar[MemoCache | None] = ContextVar("polyvigil_done", default=None)


@contextmanager
def memoised(cache: MemoCache | None = None) -> Iterator[None]:
    """Inside, ``for_each`` remembers. Inside another, the outer one's memory lasts; each thread has its own.

    ``memory``: one to go on with, which another ``once``, now over, has filled: in another thread, say.
    """
    if _DONE.get() is not None:
        yield
        return
    token = _DONE.set({} if cache is None else cache)
    try:
        yield
    finally:
        _DONE.reset(token)


def memoised_map(texts: Sequence[str], make: Callable[[list[str]], Sequence[T]], *, work: Hashable) -> list[T]:
    """``make`` of the texts, in their order; inside ``once``, only of those for which this ``work`` was not yet done.

    ``work`` names what ``make`` does and all that its result hangs on.
    """
    done = _DONE.get()
    if done is None:
        return list(make(list(texts)))
    known = done.setdefault(work, {})
    fresh = [text for text in dict.fromkeys(texts) if text not in known]
    if fresh:
        known.update(zip(fresh, make(fresh), strict=True))
    return [known[text] for text in texts]  # type: ignore[misc]
