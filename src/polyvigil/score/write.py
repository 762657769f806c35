"""Rows to files: CSV, TSV, JSONL and Parquet, by the name's ending."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import regex

from polyvigil.data.write import csv_text
from polyvigil.text.normalise import replace_lone_surrogates

Cells = Mapping[str, Any]
RowWriter = Callable[[Sequence[Cells]], None]

_FORMULA = regex.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = regex.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def neutralised(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula: ``'`` before a leading = + - @, tab, CR or full-width form of them.

    Plain numbers stay as they are.
    """
    if cell[:1].isalnum():
        return cell
    return "'" + cell if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def delimited_writer(stream: IO[bytes], columns: Sequence[str], *, delimiter: str, raw: bool) -> RowWriter:
    """Write the header now and rows later, as RFC 4180 with ``\\n``. ``raw`` leaves formulas as they are."""

    def send(rows: Sequence[Sequence[str]]) -> None:
        stream.write(csv_text(rows, delimiter=delimiter).encode())

    def cell(value: Any) -> str:
        if not isinstance(value, str):
            return replace_lone_surrogates(_plain(value))
        text = replace_lone_surrogates(value)
        return text if raw else neutralised(text)

    send([[cell(column) for column in columns]])
    return lambda rows: send([[cell(row.get(column)) for column in columns] for row in rows])


def json_writer(stream: IO[bytes]) -> RowWriter:
    """One JSON object a line; lone surrogates stay as escapes, numbers that JSON lacks become null."""

    def send(rows: Sequence[Cells]) -> None:
        stream.write("".join(_json_line(row) for row in rows).encode())

    return send


def parquet_writer(stream: IO[bytes], schema: pa.Schema) -> tuple[RowWriter, Callable[[], None]]:
    """A writer and its closing function. Strings of a string column are made of any cell; other types must fit."""
    writer = pq.ParquetWriter(stream, schema)

    def send(rows: Sequence[Cells]) -> None:
        arrays = []
        for field in schema:
            values = [row.get(field.name) for row in rows]
            if pa.types.is_string(field.type):
                values = [None if v is None else replace_lone_surrogates(_plain(v)) for v in values]
            arrays.append(pa.array(values, type=field.type))
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    return send, writer.close


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        return str(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _json_line(row: Cells) -> str:
    cells = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()
    }
    line = json.dumps(cells, ensure_ascii=False, default=str)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(cells, ensure_ascii=True, default=str)
    return line + "\n"
