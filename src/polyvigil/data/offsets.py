"""Where a file can be read from its middle: the places before every so many records, found without building a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from polyvigil.data.formats import (
    FilePosition,
    delimited_reader,
    delimited_records,
    format_of,
    is_utf16,
    json_texts,
    text_of,
)
from polyvigil.data.streams import COMPRESSION, Counted, decompressed, open_raw

_MARK = b"\xef\xbb\xbf"


def is_splittable(path: str) -> bool:
    """Whether a file can be read from its middle: Parquet, and UTF-8 that is not compressed."""
    if format_of(path) == "parquet":
        return True
    if Path(path).suffix.lower() in COMPRESSION:
        return False
    with open_raw(path) as raw:
        return not is_utf16(raw.read(4))


def split_positions(path: str, *, records: int) -> Iterator[FilePosition]:
    """The places before record 0, ``records``, 2 x ``records``, ... of a file that ``open_table`` has opened; at least
    one, and but for an empty file none behind the last record.

    A record becomes one Row or RowError. CSV is read by the reader that reads its rows, so that newlines in quotes and
    broken quotes end where they end there. Raises DataError as drawing rows does, when a quote never closes.
    """
    kind = format_of(path)
    if kind == "parquet":
        total = pq.read_metadata(path).num_rows
        yield from (FilePosition(0, row) for row in range(0, max(total, 1), records))
        return
    with open_raw(path) as raw, decompressed(raw, "") as plain:
        stream, head = text_of(plain)
        lines = Counted(stream, offset=len(_MARK) if head.startswith(_MARK) else 0)
        numbered: Iterator[object]
        if kind == "jsonl":
            numbered = json_texts(path, lines)
        else:
            reader = delimited_reader(lines, kind)
            next(reader, None)  # the header
            numbered = delimited_records(path, reader)
        position, number = FilePosition(lines.offset, lines.lines), 0
        for number, _ in enumerate(numbered, start=1):
            if number % records == 1 or records == 1:
                yield position
            if number % records == 0:
                position = FilePosition(lines.offset, lines.lines)
        if not number:
            yield position
        stream.detach()
