"""Rows to files: CSV, TSV, JSONL, Parquet and Excel workbooks, by the name's ending."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import format_of
from polyvigil.data.protection import FLAGS, RISKY_STARTS, protected, with_flag
from polyvigil.data.write import csv_columns_text, csv_text
from polyvigil.scoring.stream import compressed
from polyvigil.scoring.wire import flags_text
from polyvigil.scoring.workbook import workbook_rows
from polyvigil.text.normalise import is_unicode, replace_lone_surrogates

Cells = Mapping[str, Any]
Columns = Mapping[str, Sequence[Any]]
"""Cells of many rows by column; of each column as many."""


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Takes rows, which may lack cells, or the same as columns; the bytes are the same."""

    rows: Callable[[Sequence[Cells]], object]
    columns: Callable[[Columns], object]

    @classmethod
    def of_rows(cls, rows: Callable[[Sequence[Cells]], object]) -> RowWriter:
        """A writer that writes row by row anyway."""
        return cls(rows, lambda columns: rows(rows_of_columns(columns)))


def rows_of_columns(columns: Columns) -> list[dict[str, Any]]:
    """The same cells row by row."""
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


_DELIMITERS = {"csv": ",", "tsv": "\t"}
_AS_CSV_HAS_THEM = frozenset({float, int, type(None)})
"""Types that the csv module writes as _plain does."""
_PLAIN = _AS_CSV_HAS_THEM | {bool}
_GROUP_ROWS = 20_000
_GROUP_BYTES = 64 * 1024 * 1024


def header(columns: Sequence[str], *, ending: str, spec: ScoreSpec) -> bytes:
    """What a file begins with, before any row: nothing but for CSV and TSV; packed by itself where the file is."""
    kind = format_of(f"x{ending}")
    if kind not in _DELIMITERS:
        return b""
    held = io.BytesIO()
    with compressed(held, ending) as stream:
        names = columns if spec.raw_csv else [protected(column) for column in columns]
        text = csv_text([names], delimiter=_DELIMITERS[kind])
        stream.write(text.encode("utf-8-sig" if spec.excel else "utf-8"))
    return held.getvalue()


@contextmanager
def row_writer(
    stream: IO[bytes], columns: Sequence[str], *, ending: str, schema: pa.Schema | None, raw: bool
) -> Iterator[RowWriter]:
    """A writer of rows without the header. What it writes until it is closed is packed by itself: such pieces, one
    after another behind the header, are one file, but for Parquet and workbooks. ``raw`` leaves formulas in CSV as
    they are."""
    kind = format_of(f"x{ending}")
    if kind == "parquet":
        assert schema is not None
        with _parquet_writer(stream, schema) as write:
            yield write
        return
    if kind == "xlsx":
        with workbook_rows(stream, columns) as sheet:
            yield RowWriter.of_rows(lambda rows: sheet.add([plain_cells(row) for row in rows]))
        return
    with compressed(stream, ending) as packed:
        if kind == "jsonl":
            yield RowWriter.of_rows(json_writer(packed))
        else:
            cells_of, delimiter = _text_cells if raw else _protected_cells, _DELIMITERS[kind]
            yield RowWriter(
                lambda rows: packed.write(
                    csv_text((cells_of(row, columns) for row in rows), delimiter=delimiter).encode()
                ),
                lambda given: packed.write(
                    csv_columns_text(_text_columns(given, columns, raw=raw), delimiter=delimiter).encode()
                ),
            )


def plain_cells(row: Cells) -> dict[str, Any]:
    """The cells of a row as a workbook takes them: numbers and booleans as they are, NaN as nothing, else text."""
    cells = {name: cell if type(cell) in _PLAIN else _as_text(cell) for name, cell in row.items()}
    return {name: None if cell != cell else cell for name, cell in cells.items()}  # noqa: PLR0124


def _text_cells(row: Cells, columns: Sequence[str]) -> list[Any]:
    """The cells of a row as the csv module takes them."""
    values = map(row.get, columns)
    return [value if type(value) in _AS_CSV_HAS_THEM else _text_cell(value) for value in values]


def _protected_cells(row: Cells, columns: Sequence[str]) -> list[Any]:
    """The same with a ``'`` before those that a spreadsheet would run; the flags of the row then say so."""
    cells = _text_cells(row, columns)
    unlike = [n for n, cell in enumerate(cells) if type(cell) is str and cell and not cell[0].isalnum()]
    changed = {n: safe for n in unlike if (safe := protected(cells[n])) != cells[n]}
    if not changed:
        return cells
    for n, safe in changed.items():
        cells[n] = safe
    index = columns.index(FLAGS)
    cells[index] = with_flag(cells[index])
    return cells


def _text_columns(given: Columns, columns: Sequence[str], *, raw: bool) -> list[Sequence[Any]]:
    """``_text_cells``, or without ``raw`` ``_protected_cells``, of many rows: each of ``columns``, (n_rows,)."""
    n_rows = len(next(iter(given.values())))
    cells = {name: _text_column(given[name]) if name in given else [None] * n_rows for name in columns}
    if raw:
        return list(cells.values())
    marked: set[int] = set()
    for name, column in cells.items():
        if changed := _protected_of(column):
            cells[name] = [changed.get(index, cell) for index, cell in enumerate(column)]
            marked.update(changed)
    if marked:
        flags = cells[FLAGS]
        cells[FLAGS] = [with_flag(cell) if index in marked else cell for index, cell in enumerate(flags)]
    return list(cells.values())


def _text_column(column: Sequence[Any]) -> Sequence[Any]:
    """``_text_cells`` of one column."""
    kinds = {*map(type, column)}
    if kinds <= _AS_CSV_HAS_THEM:
        return column
    if kinds == {str}:
        return column if is_unicode("".join(column)) else list(map(replace_lone_surrogates, column))
    if kinds <= {bool, tuple}:
        texts = {value: _as_text(value) for value in {*column}}
        return list(map(texts.__getitem__, column))
    return [value if type(value) in _AS_CSV_HAS_THEM else _text_cell(value) for value in column]


def _protected_of(column: Sequence[Any]) -> dict[int, str]:
    """The cells of a column that must be protected, by their index."""
    kinds = {*map(type, column)}
    if str not in kinds or (kinds == {str} and RISKY_STARTS.isdisjoint(map(itemgetter(slice(1)), {*column}))):
        return {}
    risky = [(n, cell) for n, cell in enumerate(column) if type(cell) is str and cell[:1] in RISKY_STARTS]
    return {n: safe for n, cell in risky if (safe := protected(cell)) != cell}


def _text_cell(value: Any) -> str:
    if not isinstance(value, str):
        return _as_text(value)
    if not value or (value.isascii() and value[0].isalnum()):
        return value  # as most are
    return replace_lone_surrogates(value)


def json_writer(stream: IO[bytes]) -> Callable[[Sequence[Cells]], object]:
    """One JSON object a line; lone surrogates stay escapes, numbers that JSON lacks become null, tuples one string."""

    def send(rows: Sequence[Cells]) -> None:
        stream.write("".join(_json_line(row) for row in rows).encode())

    return send


@contextmanager
def _parquet_writer(stream: IO[bytes], schema: pa.Schema) -> Iterator[RowWriter]:
    """Strings of a string column are made of any cell; other types must fit. Row groups follow from the rows alone."""
    waiting: list[pa.Table] = []

    def flush() -> None:
        if waiting:
            write_row_group(writer, pa.concat_tables(waiting))
            waiting.clear()

    def send(columns: Columns) -> None:
        arrays = []
        n_rows = len(next(iter(columns.values())))
        for field in schema:
            values = columns[field.name] if field.name in columns else [None] * n_rows
            if pa.types.is_string(field.type):
                values = [v if v is None or (type(v) is str and v.isascii()) else _as_text(v) for v in values]
            arrays.append(pa.array(values, type=field.type))
        waiting.append(pa.Table.from_arrays(arrays, schema=schema))
        if sum(map(len, waiting)) >= _GROUP_ROWS or sum(table.nbytes for table in waiting) >= _GROUP_BYTES:
            flush()

    with pq.ParquetWriter(stream, schema) as writer:
        yield RowWriter(lambda rows: send({name: [row.get(name) for row in rows] for name in schema.names}), send)
        flush()


def write_row_group(writer: pq.ParquetWriter, rows: pa.Table) -> None:
    """Write ``rows`` as one row group; the same rows give the same bytes, in however many pieces they came."""
    writer.write_table(rows.combine_chunks(), row_group_size=max(len(rows), 1))


def _as_text(value: Any) -> str:
    return replace_lone_surrogates(_plain(value))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        return str(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return flags_text(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_json_default)
    if isinstance(value, bytes):
        return _bytes_text(value)
    return str(value)


def _bytes_text(value: bytes) -> str:
    """Bytes as the UTF-8 text that they are, else as base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _json_default(value: Any) -> str:
    """What JSON has no type for, as text."""
    return _bytes_text(value) if isinstance(value, bytes) else str(value)


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _plain(value) if isinstance(value, tuple) else value


def _json_line(row: Cells) -> str:
    cells = {key: _json_value(value) for key, value in row.items()}
    line = json.dumps(cells, ensure_ascii=False, default=_json_default)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(cells, ensure_ascii=True, default=_json_default)
    return line + "\n"
