"""A JSONL file that only grows: what was paid for or took long stays done, whatever ends the run.

In: JSON objects. Out: the same, after a kill as well. Every append is one write of whole lines, on the disk when it
returns, so several processes may append to one file. A line that a kill tore has no line break at its end: it is left
out on reading, and the next append ends it first, so that it harms no other line.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from polyvigil.data.atomic import named_if_full


def read_entries(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Line number, from 1, and object of each whole line; None for a line that holds no JSON object.

    Empty lines, and a last line without a line break, are left out. A missing file has no lines.
    """
    content = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].split(b"\n"), start=1):
        if not line:
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # a line of brackets alone exhausts the parser's stack
            entry = None
        yield number, entry if isinstance(entry, dict) else None


def drop_torn_line(path: Path, *, begins: str = "") -> bool:
    """Cut off a last line without a line break; False, and nothing is done, for one that does not begin as ours do.

    For a file of one writer: another's line may be on its way.
    """
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    torn = content[whole:]
    if torn[: len(begins)] != begins.encode()[: len(torn)]:
        return False
    if torn:
        os.truncate(path, whole)
    return True


def append_entries(path: Path, entries: Iterable[Mapping[str, Any]], *, mode: int = 0o666) -> None:
    """Append objects, each as one line; on the disk when it returns. ``mode``: of a file that is made here."""
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    with named_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, mode)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            # One write: with O_APPEND the lines of two processes never mix.
            data = (("\n" if torn else "") + lines).encode()
            if os.write(descriptor, data) < len(data):  # a disk that becomes full takes a part, and says nothing
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
