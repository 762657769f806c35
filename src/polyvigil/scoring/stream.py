"""Posts of a stream in chunks, with the next chunk read and tokenised while the present one is scored."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

import pyarrow as pa

from polyvigil.data.formats import RowError
from polyvigil.data.read import ReadPost

CHUNK_POSTS = 2000
CHUNK_CHARACTERS = 4_000_000
_ENDINGS = frozenset({".gz", ".zst", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".xlsx", ".html"})


def chunked(items: Iterator[ReadPost | RowError]) -> Iterator[list[ReadPost | RowError]]:
    """Runs of up to 2,000 items with about 4 million characters: what is in memory at once."""
    chunk: list[ReadPost | RowError] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += len(item.post.text) if isinstance(item, ReadPost) else 0
        if len(chunk) >= CHUNK_POSTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def compressed(stream: IO[bytes], output: str) -> Any:
    """``stream``, or a compressing stream into it, as the name ``output`` ends; a context manager."""
    suffix = Path(output).suffix.lower()
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="")
    if suffix == ".zst":
        return pa.CompressedOutputStream(stream, "zstd")
    return nullcontext(stream)


def stem(output: str) -> str:
    """``scored`` of ``scored.csv.gz``."""
    path = Path(output)
    while path.suffix.lower() in _ENDINGS:
        path = path.with_suffix("")
    return str(path)


class Hashed(io.RawIOBase, BinaryIO):
    """A writable stream that hashes what goes through it. The stream behind is closed by who opened it."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.written = 0
        """Bytes."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self._target.write(data)
        size = memoryview(data).nbytes
        self.written += size
        return size

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


T = TypeVar("T")
R = TypeVar("R")


def prefetch(items: Iterator[T], transform: Callable[[T], R]) -> Generator[tuple[T, R], None, None]:
    """Each item with what ``prepare`` makes of it, in order; the next one is taken and prepared in a thread meanwhile.

    No more than that one is ahead. What drawing or preparing raises is raised here, in its turn; once this ends, for
    whatever reason, nothing more is taken.
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
