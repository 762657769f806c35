"""Files to rows, streaming: CSV, TSV, JSONL and Parquet, plain or as .gz or .zst, or standard input (``-``).

A row that cannot be taken apart is yielded as a ``RowError`` with its line; a file that cannot be read at all raises
DataError. Bytes that are not UTF-8 stay in the cells as lone surrogates (PEP 383), so that nothing is lost before the
row is judged.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from polyvigil.data.streams import COMPRESSION, STDIN, Lines, decompressed, open_raw
from polyvigil.errors import DataError

MAX_CELL = 16 * 1024 * 1024  # characters; more than this in one cell is a missing quote, not a post
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
_ROWS_PER_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``line`` is the line it starts on (Parquet: its number), from 1; cells are as the file holds them."""

    line: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that cannot be used: where, why, and its cells, so that nothing is lost."""

    line: int
    column: str
    reason: str
    cells: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where reading can begin: before a record. ``offset`` in bytes (0 in Parquet); ``line``: lines or rows before."""

    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """An open file: its name for messages, its columns in order, its rows. ``schema`` is set for Parquet alone."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row | RowError]
    schema: pa.Schema | None = None
    fraction: Callable[[], float] | None = None
    """How much of the file has been read, in [0, 1]; None where it is not known (standard input)."""


def format_of(path: str | Path) -> str:
    """``csv``, ``tsv``, ``jsonl`` or ``parquet``, by the name. Raises DataError for another ending."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in COMPRESSION:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        raise DataError(
            f"unknown kind of file {''.join(suffixes[-1:]) or '(no ending)'}",
            where=str(path),
            hint=f"use one of {', '.join(FORMATS)}, each also as .gz or .zst, or - for standard input",
        )
    return FORMATS[suffixes[-1]]


@contextmanager
def open_table(path: str | Path, *, at: FilePosition | None = None, columns: Sequence[str] = ()) -> Iterator[Table]:
    """Open a file of rows; ``-`` is standard input (CSV, TSV or JSONL, distinguished by its first line).

    ``at``: begin at one of the ``data.offsets`` of the file, whose ``columns`` are known from an earlier opening.

    Raises DataError, naming file and line, when the file cannot be opened, is empty or damaged, or its header is
    unusable; while rows are read, when a quote never closes or compressed data break off.
    """
    name = "<stdin>" if str(path) == STDIN else str(path)
    kind = None if str(path) == STDIN else format_of(path)
    try:
        with open_raw(path) as raw, decompressed(raw, Path(path).suffix.lower()) as plain:
            size = 0 if str(path) == STDIN else Path(path).stat().st_size
            if kind == "parquet":
                yield _parquet(name, plain, skip=at.line if at else 0)
                return
            if at:
                raw.seek(at.offset)
            stream, head = text_of(plain, start=at is None)
            kind = kind or _sniff(head)
            if at:
                table = Table(name, tuple(columns), _rows_from(name, stream, kind, tuple(columns), at.line))
            else:
                table = _json_lines(name, stream) if kind == "jsonl" else _delimited(name, stream, kind)
            try:
                yield replace(table, fraction=(lambda: raw.tell() / size) if size else None)
            finally:
                with suppress(ValueError, OSError):
                    stream.detach()
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DataError(
            f"compressed data break off or are damaged ({error})", where=name, hint="copy it again"
        ) from error
    except FileNotFoundError as error:
        if error.filename is not None and str(error.filename) != str(path):
            raise
        raise DataError("no such file", where=name, hint=_nearby(Path(path))) from error
    except IsADirectoryError as error:
        raise DataError("is a folder, not a file", where=name, hint="name the files in it") from error


def open_source(source: str | Path | Table) -> AbstractContextManager[Table]:
    """Open a file by its path; a table that is open already, such as one in memory, is given as it is."""
    return nullcontext(source) if isinstance(source, Table) else open_table(source)


def text_of(plain: io.BufferedReader[Any], *, start: bool = True) -> tuple[io.TextIOWrapper, bytes]:
    """The text of a stream, ends of lines untouched, and its first bytes. ``start``: a mark of byte order may stand."""
    head = plain.peek(4096)[:4096] if start else b""
    encoding = ("utf-16" if is_utf16(head) else "utf-8-sig") if start else "utf-8"
    return io.TextIOWrapper(plain, encoding=encoding, errors="surrogateescape", newline=""), head


def is_utf16(head: bytes) -> bool:
    """Whether a file that begins so is UTF-16."""
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _rows_from(
    name: str, stream: io.TextIOWrapper, kind: str, columns: tuple[str, ...], before: int
) -> Iterator[Row | RowError]:
    if kind == "jsonl":
        return _json_rows(json_texts(name, stream, before=before))
    return _delimited_rows(delimited_records(name, delimited_reader(stream, kind), before=before), columns)


def _sniff(head: bytes) -> str:
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    if first.startswith(b"{"):
        return "jsonl"
    return "tsv" if first.count(b"\t") > first.count(b",") else "csv"


def delimited_reader(lines: Lines, kind: str) -> Any:
    """The standard library's reader of CSV or TSV, strict."""
    csv.field_size_limit(MAX_CELL)
    return csv.reader(lines, delimiter="\t" if kind == "tsv" else ",", strict=True)


def _delimited(name: str, stream: io.TextIOWrapper, kind: str) -> Table:
    reader = delimited_reader(stream, kind)
    try:
        header: list[str] = next(reader, [])
    except csv.Error as error:
        raise DataError(f"unreadable header ({error})", where=f"{name}:1") from error
    columns = tuple(cell.strip() for cell in header)
    if not any(columns):
        raise DataError("is empty: not even a header", where=name, hint="the first line must name the columns")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} stands twice in the header", where=f"{name}:1", hint="rename one of them")
    return Table(name, columns, _delimited_rows(delimited_records(name, reader), columns))


def delimited_records(name: str, reader: Any, *, before: int = 0) -> Iterator[tuple[int, list[str] | str]]:
    """The line and the cells of each record that is not empty; of one with broken quoting, what is wrong.

    ``before``: lines before the reader's first.
    """
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error) or "field larger" in str(error):
                raise DataError(
                    f"a quoted cell opens in this row and does not close (read on to line {before + reader.line_num})",
                    where=f"{name}:{line}",
                    hint='close it, or double every " inside quoted cells',
                ) from error
            yield line, str(error)
            continue
        if cells:
            yield line, cells


def _delimited_rows(
    records: Iterator[tuple[int, list[str] | str]], columns: tuple[str, ...]
) -> Iterator[Row | RowError]:
    for line, cells in records:
        if isinstance(cells, str):
            yield RowError(line, "", f"broken quoting ({cells})")
            continue
        if len(cells) != len(columns):
            named = dict(zip(columns, cells, strict=False))
            rest = {f"cell {index + 1}": cells[index] for index in range(len(columns), len(cells))}
            yield RowError(line, "", f"{len(cells)} cells where the header has {len(columns)}", named | rest)
            continue
        row = dict(zip(columns, cells, strict=True))
        if all(map(str.isascii, cells)):
            yield Row(line, row)
            continue
        undecoded = next((row_error for column in columns if (row_error := _undecoded(line, column, row))), None)
        yield undecoded or Row(line, row)


def _undecoded(line: int, column: str, row: Mapping[str, str]) -> RowError | None:
    """A row error when the cell holds a byte that was not UTF-8."""
    reason = undecoded_reason(row[column])
    return RowError(line, column, reason, row) if reason else None


def undecoded_reason(cell: str) -> str:
    """Which byte of a cell was not UTF-8, kept by PEP 383 as U+DC80 ... U+DCFF; empty where all were."""
    if cell.isascii():
        return ""
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        return f"not UTF-8 (byte 0x{ord(cell[error.start]) - 0xDC00:02X})"
    return ""


def _json_lines(name: str, stream: io.TextIOWrapper) -> Table:
    rows = _json_rows(json_texts(name, stream))
    leading: list[Row | RowError] = []
    columns: tuple[str, ...] = ()
    for row in rows:
        leading.append(row)
        if isinstance(row, Row):
            columns = tuple(row.cells)
            break
    if not columns:
        what = f"no line holds a JSON object ({len(leading)} other lines)" if leading else "is empty"
        raise DataError(what, where=name, hint='each line must be an object such as {"text": "..."}')

    def chained() -> Iterator[Row | RowError]:
        yield from leading
        yield from rows

    return Table(name, columns, chained())


def json_texts(name: str, lines: Lines, *, before: int = 0) -> Iterator[tuple[int, str]]:
    """The number and the text of each line that is not blank. ``before``: lines before the first."""
    line = before
    while text := lines.readline(2 * MAX_CELL):
        line += 1
        if len(text) == 2 * MAX_CELL and not text.endswith("\n"):
            raise DataError(f"a line of over {2 * MAX_CELL:,} characters", where=f"{name}:{line}", hint="is it JSONL?")
        if text.strip():
            yield line, text


def _json_rows(texts: Iterator[tuple[int, str]]) -> Iterator[Row | RowError]:
    for line, text in texts:
        if undecoded := _undecoded(line, "line", {"line": text.rstrip("\r\n")}):
            yield undecoded
            continue
        try:
            cells = json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            yield RowError(line, "", f"not JSON ({reason})", {"line": text.rstrip("\r\n")})
            continue
        if not isinstance(cells, dict) or not cells:
            yield RowError(line, "", "not a JSON object with columns", {"line": text.rstrip("\r\n")})
            continue
        yield Row(line, cells)


def _parquet(name: str, raw: BinaryIO, *, skip: int = 0) -> Table:
    try:
        file = pq.ParquetFile(raw)
    except pa.ArrowInvalid as error:
        raise _no_parquet(name, error) from error
    schema = file.schema_arrow
    if len(set(schema.names)) < len(schema.names):
        raise DataError("a column name stands twice", where=name, hint="rename one of them")

    groups, done = _groups_from(file.metadata, skip)

    def rows() -> Iterator[Row | RowError]:
        nonlocal done
        try:
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, row_groups=groups):
                unread = min(max(skip - done, 0), len(batch))
                done += unread
                for cells in batch.slice(unread).to_pylist():
                    done += 1
                    yield Row(done, cells)
        except (pa.ArrowException, OSError) as error:
            raise _no_parquet(f"{name}: after row {done}", error) from error

    total = max(file.metadata.num_rows, 1)
    return Table(name, tuple(schema.names), rows(), schema, lambda: done / total)


def _groups_from(metadata: Any, skip: int) -> tuple[list[int], int]:
    """The row groups that hold what comes after the first ``skip`` rows, and the rows before them."""
    first, before = 0, 0
    while first < metadata.num_row_groups and before + metadata.row_group(first).num_rows <= skip:
        before += metadata.row_group(first).num_rows
        first += 1
    return list(range(first, metadata.num_row_groups)), before


def _no_parquet(where: str, error: Exception) -> DataError:
    return DataError(f"not readable as Parquet ({_first_line(error)})", where=where, hint="write the file again")


def _nearby(path: Path) -> str:
    import difflib

    here = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, here, n=1)
    if close:
        return f"did you mean {path.parent / close[0]}?"
    return "check the path" if path.parent.is_dir() else f"there is no folder {path.parent}"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
