"""Byte streams that files of rows are read from: plain, .gz, .zst, standard input; and lines with their bytes."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from polyvigil.errors import DataError

STDIN = "-"
COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


class Lines(Protocol):
    """Lines of text with their ends, as a text stream of the standard library gives them."""

    def __iter__(self) -> Iterator[str]: ...

    def __next__(self) -> str: ...

    def readline(self, limit: int = ..., /) -> str: ...


class Counted:
    """The lines of a UTF-8 stream that was opened with ``surrogateescape``, so that each has its bytes."""

    def __init__(self, stream: io.TextIOWrapper, *, offset: int) -> None:
        """``offset``: bytes before the first line."""
        self._stream = stream
        self.offset = offset
        """Bytes up to the end of the last line given."""
        self.lines = 0
        """Lines given."""

    def __iter__(self) -> Counted:
        return self

    def __next__(self) -> str:
        if line := self.readline():
            return line
        raise StopIteration

    def readline(self, limit: int = -1, /) -> str:
        """The next line, with its end; no more than ``limit`` characters of it; empty after the last."""
        line = self._stream.readline(limit)
        self.offset += len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))
        self.lines += bool(line)
        return line


def open_raw(path: str | Path) -> BinaryIO:
    """The bytes of a file, or of standard input."""
    if str(path) == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    if Path(path).is_fifo():  # opened, it would wait for a writer, and it can be read only once
        raise DataError("is a pipe, which can be read only once", where=str(path), hint="give it as standard input: -")
    return Path(path).open("rb")


@contextmanager
def decompressed(raw: BinaryIO, suffix: str) -> Iterator[io.BufferedReader[Any]]:
    """What ``raw`` holds, by the ending of its name."""
    if suffix == ".gz":
        with gzip.GzipFile(fileobj=raw) as zipped, io.BufferedReader(zipped) as plain:
            yield plain
    elif suffix == ".zst":
        with io.BufferedReader(_Zstandard(pa.CompressedInputStream(raw, "zstd"))) as plain:
            yield plain
    else:
        assert isinstance(raw, io.BufferedReader)
        yield raw


class _Zstandard(io.RawIOBase):
    """pyarrow's decompressing stream as a raw stream of the standard library."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(len(buffer))
        except OSError as error:
            raise EOFError(str(error).partition("\n")[0] or type(error).__name__) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()
