"""Byte streams that files of rows are read from: plain, compressed, standard input; and lines with their bytes.

What a file is packed with is known by its first bytes, not by its name: a plain CSV called .gz is read as it is.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from polyvigil.errors import DataError

STDIN = "-"
COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
"""Endings of compressed files that are read and written."""
CONTAINERS = (*COMPRESSION, ".bz2", ".xz", ".zip")
"""Endings of compressed files that are read."""
HEAD = 64 * 1024
"""Bytes that the format of a file is judged by."""
_MAGIC = {
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"BZh": ".bz2",
    b"\xfd7zXZ\x00": ".xz",
    b"PK\x03\x04": ".zip",
    b"PK\x05\x06": ".zip",
}
_LARGEST_WINDOW_LOG = 31  # of bytes; archives of Reddit are written with zstd --long=31


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


class HeadedStream(io.RawIOBase):
    """A raw stream whose first bytes have been looked at and are given again."""

    def __init__(self, source: Readable, *, size: int = HEAD) -> None:
        """Reads up to ``size`` bytes, fewer only where the source ends."""
        self._source = source
        pieces: list[bytes] = []
        while size > 0 and (piece := source.read(size)):
            pieces.append(piece)
            size -= len(piece)
        self.head = b"".join(pieces)
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._given < len(self.head):
            data = self.head[self._given : self._given + len(buffer)]
            self._given += len(data)
        else:
            data = self._source.read(len(buffer)) or b""
        buffer[: len(data)] = data
        return len(data)


def packed_as(head: bytes) -> str:
    """The ending of the container that a file which begins so is, as ``.gz``; empty for a plain one."""
    return next((ending for magic, ending in _MAGIC.items() if head.startswith(magic)), "")


class Readable(Protocol):
    """Bytes that are drawn from."""

    def read(self, size: int, /) -> bytes: ...


class _Unpacked:
    """Decompressed bytes, whose damages are all told in one way: EOFError, as where they break off."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        with _translated_damages():
            return self._stream.read(size)


@contextmanager
def decompressed(raw: BinaryIO, container: str, *, name: str) -> Iterator[Readable]:
    """What ``raw`` holds. ``container`` as ``packed_as`` gives it. Raises DataError for a ZIP archive of several
    files, or under a password; EOFError, also while it is read, for what is damaged or breaks off."""
    with ExitStack() as stack:
        if container == ".gz":
            unpacked: Readable = stack.enter_context(gzip.GzipFile(fileobj=raw))
        elif container == ".bz2":
            unpacked = stack.enter_context(bz2.BZ2File(raw))
        elif container == ".xz":
            unpacked = stack.enter_context(lzma.LZMAFile(raw))
        elif container == ".zst":
            zstd = _zstd()
            options: dict[int, int] = {int(zstd.DecompressionParameter.window_log_max): _LARGEST_WINDOW_LOG}
            unpacked = stack.enter_context(zstd.ZstdFile(raw, options=options))
        elif container == ".zip":
            archive = stack.enter_context(_archive(raw, name))
            member = _only_member(archive, name)
            with _translated_damages():
                unpacked = stack.enter_context(archive.open(member))
        else:
            yield raw
            return
        yield _Unpacked(unpacked)


def _zstd() -> Any:
    """The library for zstd: Python's own from 3.14 on, else the same one from PyPI."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


@contextmanager
def _translated_damages() -> Iterator[None]:
    """What the libraries raise for damaged data as EOFError. An error of the disk, which has a number, stays one."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # EINVAL: a ZIP archive whose index leads before its beginning
            raise
        raise EOFError(error.strerror or str(error)) from error
    except (_zstd().ZstdError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        raise EOFError(str(error)) from error
    except (
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:  # a ZIP archive of odd methods, sizes
        raise EOFError(str(error) or type(error).__name__) from error


def _archive(raw: BinaryIO, name: str) -> zipfile.ZipFile:
    if not raw.seekable():
        raise DataError("a ZIP archive cannot be read from a pipe", where=name, hint="name the file, or unzip -p it")
    with _translated_damages():
        return zipfile.ZipFile(raw)


def member_ending(raw: BinaryIO, name: str) -> str:
    """The ending, in lower case, of the one file that a ZIP archive holds; ``.xlsx`` where it is a workbook itself.

    The stream is left where it began.
    """
    try:
        with _archive(raw, name) as archive:
            if "xl/workbook.xml" in archive.namelist():
                return ".xlsx"
            return Path(_only_member(archive, name).filename).suffix.lower()
    finally:
        raw.seek(0, os.SEEK_SET)


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if not member.filename.endswith("/")
        and not member.filename.startswith("__MACOSX/")
        and not _is_hidden(member.filename)
    ]
    if len(members) != 1:
        shown = ", ".join(repr(member.filename) for member in members[:5])
        raise DataError(
            f"the archive holds {len(members):,} files" + (f" ({shown}, ...)" if members else ""),
            where=name,
            hint="unzip it and name the files to read" if members else "check the archive",
        )
    if members[0].flag_bits & 1:
        raise DataError("the archive is under a password", where=name, hint="unzip it and name the file")
    return members[0]


def _is_hidden(member: str) -> bool:
    return member.rsplit("/", 1)[-1].startswith(".")
