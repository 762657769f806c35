"""Columns of many strings in little memory: the bytes of their UTF-8, or a byte a value where values repeat.

In: strings of any kind, half surrogate pairs too. Out: the same strings, made anew when they are looked at. A million
Python strings of 480 characters take a gigabyte and more (four bytes a character as soon as an emoji stands in one).
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import eq
from sys import intern
from typing import overload

CHUNK = 2000
"""Strings that are packed together."""
_MOST_CODES = 256
_ENCODING = ("utf-8", "surrogatepass")


class FrozenStrings(Sequence[str]):
    """Base of the sequences of strings here: equal to any sequence of the same strings, and slices are lists."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._string(number) for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        return self._string(number)

    @abstractmethod
    def _string(self, index: int) -> str:
        """The string at an index from 0."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]


class CodedStrings(FrozenStrings):
    """Strings of which at most 256 differ: a byte each."""

    __slots__ = ("_codes", "_names")

    def __init__(self, names: Iterable[str], values: Iterable[str]) -> None:
        self._names = tuple(map(intern, names))
        code = {name: number for number, name in enumerate(self._names)}
        self._codes = bytes(map(code.__getitem__, values))

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[str]:
        return map(self._names.__getitem__, self._codes)

    def _string(self, index: int) -> str:
        return self._names[self._codes[index]]


class EncodedStrings(FrozenStrings):
    """Strings end to end, as UTF-8."""

    __slots__ = ("_data", "_starts")

    def __init__(self, values: Sequence[str]) -> None:
        encoded = [value.encode(*_ENCODING) for value in values]
        self._data = b"".join(encoded)
        self._starts = array("Q" if len(self._data) >> 32 else "I", accumulate(map(len, encoded), initial=0))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[str]:
        data, start = self._data, 0
        for end in self._starts[1:]:
            yield data[start:end].decode(*_ENCODING)
            start = end

    def _string(self, index: int) -> str:
        return self._data[self._starts[index] : self._starts[index + 1]].decode(*_ENCODING)


def pack(values: Sequence[str]) -> FrozenStrings:
    """The same strings, packed in the way that suits them."""
    names = dict.fromkeys(values)
    few = len(names) <= min(_MOST_CODES, max(len(values) // 4, 1))
    return CodedStrings(names, values) if few else EncodedStrings(values)


class StringColumn(FrozenStrings):
    """Strings that come one by one, or in chunks that are packed already. Grows at its end only."""

    __slots__ = ("_chunks", "_length", "_starts", "_waiting")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._chunks: list[FrozenStrings] = []
        self._starts: list[int] = []
        """The index of the first string of each chunk."""
        self._length = 0
        """Strings in chunks."""
        self._waiting: list[str] = []
        for value in values:
            self.append(value)

    def append(self, value: str) -> None:
        """Add a string."""
        self._waiting.append(value)
        if len(self._waiting) >= CHUNK:
            self._pack_waiting()

    def add_chunk(self, chunk: FrozenStrings) -> None:
        """Add strings that are packed, which are not copied."""
        self._pack_waiting()
        if len(chunk):
            self._chunks.append(chunk)
            self._starts.append(self._length)
            self._length += len(chunk)

    def add_column(self, column: StringColumn) -> None:
        """Add the strings of another column, whose chunks are not copied."""
        for chunk in column._chunks:
            self.add_chunk(chunk)
        for value in column._waiting:
            self.append(value)

    def _pack_waiting(self) -> None:
        if waiting := self._waiting:
            self._waiting = []
            self.add_chunk(pack(waiting))

    def __len__(self) -> int:
        return self._length + len(self._waiting)

    def __iter__(self) -> Iterator[str]:
        for chunk in self._chunks:
            yield from chunk
        yield from self._waiting

    def between(self, start: int, stop: int) -> Iterator[str]:
        """The strings from index ``start`` up to ``stop``, without the last: quicker than one by one."""
        at = max(bisect_right(self._starts, start) - 1, 0)
        for first, chunk in zip(self._starts[at:], self._chunks[at:], strict=True):
            if first >= stop:
                return
            whole = first >= start and first + len(chunk) <= stop
            yield from chunk if whole else chunk[max(start - first, 0) : max(stop - first, 0)]
        yield from self._waiting[max(start - self._length, 0) : max(stop - self._length, 0)]

    def _string(self, index: int) -> str:
        if index >= self._length:
            return self._waiting[index - self._length]
        at = bisect_right(self._starts, index) - 1
        return self._chunks[at]._string(index - self._starts[at])
