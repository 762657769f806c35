"""Files to rows, streaming: delimited text, JSON, Parquet, Arrow and workbooks, compressed or not, or standard input.

A row that cannot be taken apart is yielded as a ``RowError`` with its line and its text; a file that cannot be read at
all raises DataError. What a file is, is recognised (``data.recognise``). Bytes that its encoding does not have stay in
the cells as lone surrogates (PEP 383), so that nothing is lost before the row is judged.
"""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from polyvigil.config.data import DataSpec
from polyvigil.data.columnar import arrow_table, parquet_table
from polyvigil.data.delimited import Broken, Header, Records, RowShape, header_of, pieces_of_records, undecoded_reason
from polyvigil.data.exports import with_derived
from polyvigil.data.json_rows import json_document_rows, json_texts, jsonl_rows
from polyvigil.data.protection import unprotected_table
from polyvigil.data.recognise import (
    FORMATS,
    READABLE,
    WRITABLE,
    Source,
    format_of,
    promised_format,
    recognised,
    shown_path,
    text_stream,
)
from polyvigil.data.streams import STDIN, HeadedStream, Lines, open_raw
from polyvigil.data.table import BlockRows, FilePosition, Row, RowError, Table
from polyvigil.data.workbook import lost_digits, open_sheet
from polyvigil.errors import DataError

__all__ = [
    "FORMATS",
    "READABLE",
    "WRITABLE",
    "FilePosition",
    "Row",
    "RowError",
    "Table",
    "format_of",
    "open_source",
    "open_table",
    "promised_format",
    "recognise",
    "undecoded_reason",
]
_MOST_TITLES = 12  # rows of a sheet before its header
_SAMPLE = 50  # objects of piped JSON, whose keys are the columns


@contextmanager
def open_table(
    path: str | Path,
    spec: DataSpec | None = None,
    *,
    at: FilePosition | None = None,
    columns: Sequence[str] = (),
) -> Iterator[Table]:
    """Open a file of rows; ``-`` is standard input. ``spec``: what the user says of its format.

    ``columns``: of JSON, where they are known from an earlier opening, so that the file is not gone through for them.
    ``at``: begin at one of the ``data.offsets`` of the file, whose ``columns`` are known.

    Raises DataError, naming file and line, when the file cannot be opened, is empty or damaged, or its header is
    unusable; while rows are read, when compressed data break off.
    """
    spec = spec or DataSpec()
    with read_errors(path), ExitStack() as stack:
        raw = stack.enter_context(open_raw(path))
        source, stream = stack.enter_context(recognised(raw, path, spec))
        if at and source.kind != "parquet":
            raw = stack.enter_context(open_raw(path))
            raw.seek(at.offset)
            text = text_stream(raw, source, start=at.offset == 0)
            stack.callback(_let_go, text)
            yield _table_at(source, text, at, columns)
            return
        table = _table(source, stream, raw, path, spec, columns=columns, skip=at.line if at else 0)
        size = 0 if str(path) == STDIN else os.fstat(raw.fileno()).st_size
        fraction = table.fraction or ((lambda: min(raw.tell() / size, 1.0)) if size else None)
        yield replace(table, fraction=fraction, notes=(*source.notes, *table.notes))


def open_source(source: str | Path | Table, spec: DataSpec | None = None) -> AbstractContextManager[Table]:
    """Open a file by its path; a table that is open already, such as one in memory, is given as it is."""
    return nullcontext(source) if isinstance(source, Table) else open_table(source, spec)


def recognise(path: str | Path, spec: DataSpec | None = None) -> Source:
    """What a file is. Raises DataError as ``open_table``."""
    with read_errors(path), open_raw(path) as raw, recognised(raw, path, spec or DataSpec()) as (source, _):
        return source


@contextmanager
def read_errors(path: str | Path) -> Iterator[None]:
    """What goes wrong with a file as a DataError that names it."""
    name = shown_path(path)
    try:
        yield
    except EOFError as error:
        raise DataError(
            f"compressed data break off or are damaged ({error})", where=name, hint="copy it again"
        ) from error
    except FileNotFoundError as error:
        if error.filename is not None and str(error.filename) != str(path):
            raise
        raise DataError("no such file", where=name, hint=_nearby(Path(path))) from error
    except IsADirectoryError as error:
        raise DataError("is a folder, not a file", where=name, hint="name the files in it") from error
    except UnicodeError as error:  # a wide or stateful encoding, which has no bytes to keep one by one
        raise DataError(
            f"is not in the encoding it seems to be in ({error.args[0]})", where=name, hint="say which: --encoding NAME"
        ) from error


def _table(
    source: Source,
    stream: HeadedStream,
    raw: IO[bytes],
    path: str | Path,
    spec: DataSpec,
    *,
    columns: Sequence[str],
    skip: int,
) -> Table:
    """The table of a recognised file whose bytes are ``stream``; ``raw`` is the file, for what must be sought in."""
    if source.kind in ("parquet", "arrow"):
        whole = raw if not source.container and raw.seekable() else io.BytesIO(stream.readall())
        whole.seek(0)
        if source.kind == "parquet":
            return parquet_table(source.name, whole, skip=skip)
        return arrow_table(source.name, whole)
    if source.kind == "xlsx":
        return _sheet_table(source, stream, spec)
    text = text_stream(stream, source)
    if source.kind == "csv":
        return _delimited_table(source, text)
    return _json_table(source, text, path, spec, columns)


def _let_go(text: io.TextIOWrapper) -> None:
    """Leave the file that a text stream reads to whoever opened it."""
    with suppress(ValueError, OSError):
        text.detach()


def _table_at(source: Source, text: io.TextIOWrapper, at: FilePosition, columns: Sequence[str]) -> Table:
    if source.kind == "jsonl":
        rows = jsonl_rows(json_texts(source.name, text, before=at.line), codec=source.codec, pages=False)
        return _with_export(Table(source.name, tuple(columns), rows), source)
    header = delimited_header(source)
    records = delimited_records(source, text, header, before=at.line)
    rows = BlockRows(pieces_of_records(records, header, codec=source.codec))
    table = Table(source.name, header.columns, rows, late_notes=lambda: records.long_rows(source.name))
    return unprotected_table(table)


def delimited_header(source: Source) -> Header:
    """The header of recognised delimited text. Raises DataError where it is unusable."""
    dialect = source.dialect
    assert dialect is not None
    stream = io.StringIO(source.head.removeprefix("\ufeff"), newline=dialect.line_ends)
    for _ in range(dialect.skip):
        stream.readline()
    first = next(Records(stream, dialect, None, before=dialect.skip), None)
    if first is None:
        raise DataError("is empty: not even a header", where=source.name, hint="the first line must name the columns")
    line, cells = first
    if isinstance(cells, Broken):
        raise DataError(
            f"unreadable header ({cells.reason})", where=f"{source.name}:{line}", hint="mend it, or try --quoting none"
        )
    header = header_of(cells, dialect, source.name)
    if reason := next(filter(None, (undecoded_reason(column, source.codec) for column in header.columns)), ""):
        raise DataError(
            f"the header is {reason}",
            where=f"{source.name}:{line}",
            hint="mend it, or if the file is in another encoding, say which: --encoding cp1252",
        )
    return header


def delimited_records(source: Source, lines: Lines, header: Header, *, before: int) -> Records:
    """The records of recognised delimited text from a line on."""
    assert source.dialect is not None
    shape = RowShape.of(source.head.split(source.dialect.line_ends), source.dialect, header.n_cells)
    return Records(lines, source.dialect, shape, before=before)


def first_record_line(source: Source) -> int:
    """Lines of recognised delimited text before its first record: titles and the header."""
    dialect = source.dialect
    assert dialect is not None
    stream = io.StringIO(source.head.removeprefix("\ufeff"), newline=dialect.line_ends)
    for _ in range(dialect.skip):
        stream.readline()
    records = Records(stream, dialect, None, before=dialect.skip)
    if dialect.header:
        next(records, None)
    return records.lines_done


def _delimited_table(source: Source, text: io.TextIOWrapper) -> Table:
    header = delimited_header(source)
    before = first_record_line(source)
    for _ in range(before):
        text.readline()
    records = delimited_records(source, text, header, before=before)
    rows = BlockRows(pieces_of_records(records, header, codec=source.codec))
    table = Table(source.name, header.columns, rows, late_notes=lambda: records.long_rows(source.name))
    return unprotected_table(table, head=source.head)


def _json_table(
    source: Source, text: io.TextIOWrapper, path: str | Path, spec: DataSpec, columns: Sequence[str]
) -> Table:
    rows = _json_rows(source, text)
    seen: list[Row | RowError] = []
    if not columns and str(path) == STDIN:
        seen = list(islice(rows, _SAMPLE))
        columns, n_errors = _keys(iter(seen)), sum(isinstance(row, RowError) for row in seen)
    elif not columns:
        with open_raw(path) as again, recognised(again, path, spec) as (same, stream):
            counted = _Counted(_json_rows(same, text_stream(stream, same)))
            columns, n_errors = _keys(counted), counted.errors
    else:
        n_errors = 0
    if not columns:
        what = f"no line holds a JSON object ({n_errors} other lines)" if n_errors else "is empty"
        raise DataError(what, where=source.name, hint='each line must be an object such as {"text": "..."}')
    return _with_export(Table(source.name, tuple(columns), chain(seen, rows)), source)


def _json_rows(source: Source, text: io.TextIOWrapper) -> Iterator[Row | RowError]:
    if source.kind == "json":
        return json_document_rows(source.name, text, codec=source.codec)
    return jsonl_rows(json_texts(source.name, text), codec=source.codec, pages=source.has_pages)


@dataclass(slots=True)
class _Counted:
    """Rows, of which the errors are counted."""

    rows: Iterator[Row | RowError]
    errors: int = 0

    def __iter__(self) -> Iterator[Row | RowError]:
        for row in self.rows:
            self.errors += isinstance(row, RowError)
            yield row


def _keys(rows: Any) -> tuple[str, ...]:
    """The keys of all objects, in the order in which they are met."""
    keys: dict[str, None] = {}
    for row in rows:
        if isinstance(row, Row) and not row.cells.keys() <= keys.keys():
            keys |= dict.fromkeys(row.cells)
    return tuple(keys)


def _with_export(table: Table, source: Source) -> Table:
    if source.export is None:
        return table
    return replace(table, rows=with_derived(table.rows, source.export), derived=source.export.derived)


def _sheet_table(source: Source, stream: HeadedStream, spec: DataSpec) -> Table:
    sheet = open_sheet(io.BufferedReader(stream), source.name, sheet=spec.sheet)
    records = sheet.records
    leading = list(islice(records, _MOST_TITLES))
    if not leading:
        raise DataError("is empty: not even a header", where=source.name, hint="the first row must name the columns")
    width = max(len([cell for cell in cells if cell is not None]) for _, cells in leading)
    start = next(n for n, (_, cells) in enumerate(leading) if sum(cell is not None for cell in cells) * 2 > width)
    header = _sheet_header(leading[start][1], source.name, spec)
    notes = [*sheet.notes, *([f"{source.name}: {start} rows before the header left out"] if start else [])]
    if any(lost_digits(cells) for _, cells in leading):
        notes.append(f"{source.name}: numbers of over 15 digits, of which Excel keeps 15: ids may have lost their ends")
    rows = (_sheet_row(number, cells, header) for number, cells in chain(leading[start + spec.header :], records))
    return unprotected_table(Table(source.name, header, rows, notes=tuple(notes)))


def _sheet_row(number: int, cells: Sequence[Any], header: Sequence[str]) -> Row | RowError:
    named = dict(zip(header, [*cells, *[None] * len(header)], strict=False))
    rest = {f"cell {index + 1}": cells[index] for index in range(len(header), len(cells)) if cells[index] is not None}
    if rest:
        return RowError(number, "", f"more cells than the header, which has {len(header)}", named | rest)
    return Row(number, named)


def _sheet_header(cells: Sequence[Any], name: str, spec: DataSpec) -> tuple[str, ...]:
    from polyvigil.data.dialect import Dialect

    names = ["" if cell is None else str(cell) for cell in cells]
    return header_of(names, Dialect(",", "none", header=spec.header), name).columns


def _nearby(path: Path) -> str:
    here = []
    with suppress(OSError):
        here = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, here, n=1)
    if close:
        return f"did you mean {shown_path(path.parent / close[0])}?"
    return "check the path" if path.parent.is_dir() else f"there is no folder {shown_path(path.parent)}"
