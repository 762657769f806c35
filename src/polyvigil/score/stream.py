"""What ways of going through a file of posts share: posts in handfuls, names beside the output, compression, a hash."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO

import pyarrow as pa

from polyvigil.data.formats import Fault
from polyvigil.data.read import ReadPost

_POSTS_AT_ONCE = 2000
_CHARACTERS_AT_ONCE = 4_000_000
_ENDINGS = frozenset({".gz", ".zst", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".html"})


def handfuls(items: Iterator[ReadPost | Fault]) -> Iterator[list[ReadPost | Fault]]:
    """Runs of up to 2,000 items with about 4 million characters: what is in memory at once."""
    handful: list[ReadPost | Fault] = []
    characters = 0
    for item in items:
        handful.append(item)
        characters += len(item.post.text) if isinstance(item, ReadPost) else 0
        if len(handful) >= _POSTS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield handful
            handful, characters = [], 0
    if handful:
        yield handful


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
