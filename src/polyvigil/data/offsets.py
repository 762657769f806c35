"""Where a file can be read from its middle: the places before every so many records, found without building a row."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from polyvigil.config.data import DataSpec
from polyvigil.data.formats import delimited_header, delimited_records, first_record_line, read_errors, recognise
from polyvigil.data.json_rows import json_texts
from polyvigil.data.recognise import Source, text_stream
from polyvigil.data.streams import Counted, open_raw
from polyvigil.data.table import FilePosition

_MARK = b"\xef\xbb\xbf"


def is_splittable(path: str, spec: DataSpec | None = None) -> bool:
    """Whether a file can be read from its middle: Parquet, and UTF-8 that is not compressed, a record to each place."""
    return recognise(path, spec).is_splittable


def split_positions(path: str, *, records: int, spec: DataSpec | None = None) -> Iterator[FilePosition]:
    """The places before record 0, ``records``, 2 x ``records``, ... of a file that ``open_table`` has opened; at least
    one, and but for an empty file none behind the last record.

    A record becomes one Row or RowError. CSV is read by the reader that reads its rows, so that newlines in quotes and
    broken quotes end where they end there. Raises DataError as drawing rows does.
    """
    source = recognise(path, spec)
    if source.kind == "parquet":
        total = pq.read_metadata(path).num_rows
        yield from (FilePosition(0, row) for row in range(0, max(total, 1), records))
        return
    with read_errors(path), open_raw(path) as raw:
        mark = raw.read(len(_MARK)) == _MARK
        raw.seek(0)
        stream = text_stream(raw, source)
        lines = Counted(stream, offset=len(_MARK) if mark else 0)
        find = _json_positions if source.kind == "jsonl" else _positions
        try:
            yield from find(source, lines, records)
        finally:
            stream.detach()


def _json_positions(source: Source, lines: Counted, records: int) -> Iterator[FilePosition]:
    position, number = FilePosition(lines.offset, lines.lines), 0
    for number, _ in enumerate(json_texts(source.name, lines), start=1):
        if number % records == 1 or records == 1:
            yield position
        if number % records == 0:
            position = FilePosition(lines.offset, lines.lines)
    if not number:
        yield position


def _positions(source: Source, lines: Counted, records: int) -> Iterator[FilePosition]:
    header, before = delimited_header(source), first_record_line(source)
    for _ in range(before):
        lines.readline()
    numbered = delimited_records(source, lines, header, before=before)
    position, number = FilePosition(lines.offset, before), 0
    for number, _ in enumerate(numbered, start=1):
        if number % records == 1 or records == 1:
            yield position
        if number % records == 0:
            position = FilePosition(lines.offset - numbered.pending_bytes, numbered.lines_done)
    if not number:
        yield position
