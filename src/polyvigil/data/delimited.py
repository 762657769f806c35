"""Delimited text to rows: CSV, TSV and their kin, in a dialect that is known (``data.dialect``).

In: lines of text. Out: rows and row errors, numbered by the line they begin on. Always holds: each line of the file is
part of exactly one row or row error; a quote that never closes costs the line it stands on, not those behind it; a row
is read alike wherever reading began before it (``data.offsets``).
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import regex

from polyvigil.data.dialect import Dialect, csv_reader
from polyvigil.data.shown import shown_name
from polyvigil.data.streams import Lines
from polyvigil.data.table import Piece, Row, RowBlock, RowError
from polyvigil.errors import DataError

MAX_CELL = 16 * 1024 * 1024  # characters; more than this in one cell is a missing quote, not a post
MAX_RECORD_LINES = 10_000  # lines of one row, beyond which its quote is taken for one that never closes
_MANY_LINES = 50  # lines of a row that may be told of as far longer than the others,
_FAR_LONGER = 10  # if it has so many times their lines;
_MOST_LONG = 5  # no more than these are told of
_BLOCK_CHARACTERS = 1 << 17
_BARE_CR = "\ud80d"  # stands for a lone CR inside a line, which the csv module would refuse; no decoder gives it
_CTRL_Z = "\x1a"  # the end of a file to MS-DOS
_NUMBER = regex.compile(r"[+-]?\d+([.,]\d+)?")
_LONGEST_COMPACT = 40  # characters of a cell that may be an id, a label, a language
_FEWEST_PLAIN_LINES = 3


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that cannot be taken apart, and why."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class RowShape:
    """What a row looks like that is written on one line: tells whether lines inside a quoted cell are rows."""

    delimiter: str
    n_cells: int
    compact: tuple[int, ...]
    """Columns whose cells are short and without spaces (ids, labels, languages)."""
    numeric: frozenset[int]
    """Those of them that hold numbers."""

    @classmethod
    def of(cls, lines: Sequence[str], dialect: Dialect, n_cells: int) -> RowShape:
        """Learnt from lines without quotes that have ``n_cells``; of too few such lines nothing is learnt."""
        if n_cells < 2:
            return cls(dialect.delimiter, n_cells, (), frozenset())
        plain = [line.split(dialect.delimiter) for line in lines if '"' not in line and line]
        plain = [cells for cells in plain if len(cells) == n_cells][1:]
        if len(plain) < _FEWEST_PLAIN_LINES:
            return cls(dialect.delimiter, n_cells, (), frozenset())
        columns = list(zip(*plain, strict=True))
        compact = tuple(index for index, cells in enumerate(columns) if all(map(_is_compact, cells)))
        numeric = frozenset(index for index in compact if all(_NUMBER.fullmatch(cell) for cell in columns[index]))
        return cls(dialect.delimiter, n_cells, compact, numeric)

    def fits(self, line: str) -> bool:
        """Whether a line, by itself, looks like a row of this file."""
        if not self.compact:
            return False
        cells = line.rstrip("\r\n").split(self.delimiter)
        return len(cells) == self.n_cells and all(
            _NUMBER.fullmatch(cells[index]) if index in self.numeric else _is_compact(cells[index])
            for index in self.compact
        )


def _is_compact(cell: str) -> bool:
    return 0 < len(cell) <= _LONGEST_COMPACT and not any(map(str.isspace, cell))


def _with_bare_cr(line: str) -> str:
    """The line with each CR that does not end it replaced."""
    end = next((end for end in ("\r\n", "\n", "\r") if line.endswith(end)), "")
    return line.removesuffix(end).replace("\r", _BARE_CR) + end


class Records:
    """The records of delimited text that are not empty, each with the line it begins on."""

    def __init__(self, lines: Lines, dialect: Dialect, shape: RowShape | None, *, before: int = 0) -> None:
        """``before``: lines of the file before the first of ``lines``. ``shape`` may be set once it is known."""
        self._lines = lines
        self._dialect = dialect
        self.shape = shape
        self._line = self._before = before
        self._pending: deque[str] = deque()
        self._by_itself = False
        self._taken: list[str] = []
        self._rows_inside = 0
        self._n_records = 0
        self._long: list[tuple[int, int]] = []
        csv.field_size_limit(MAX_CELL)
        self._reader = csv_reader(_Feed(self), dialect.delimiter or ",", dialect.quoting)

    @property
    def lines_done(self) -> int:
        """Lines of the file up to the end of the last record given."""
        return self._line

    @property
    def pending_bytes(self) -> int:
        """UTF-8 bytes of lines that were read and belong to records that were not given yet."""
        return sum(len(line.encode("utf-8", "surrogateescape")) for line in self._pending)

    def __iter__(self) -> Iterator[tuple[int, list[str] | Broken]]:
        return self

    def __next__(self) -> tuple[int, list[str] | Broken]:
        while True:
            begin = self._line + 1
            cells = self._plain() if self._dialect.quoting == "none" else self._quoted()
            if isinstance(cells, Broken) or (cells and cells != [_CTRL_Z]):
                self._n_records += 1
                if self._line - begin >= _MANY_LINES and len(self._long) < _MOST_LONG:
                    self._long.append((begin, self._line - begin + 1))
                return begin, cells

    def long_rows(self, name: str) -> tuple[str, ...]:
        """One line that names the rows which are far longer than the others, if there are any so far."""
        usual = (self._line - self._before) / max(self._n_records, 1)
        far_longer = [(line, lines) for line, lines in self._long if lines > _FAR_LONGER * usual]
        if not far_longer:
            return ()
        shown = ", ".join(f"{lines:,} lines from line {line:,}" for line, lines in far_longer)
        return (f"{name}: rows far longer than the others: {shown}; if a quote opens them by mistake: --quoting none",)

    def block(self) -> RecordBlock:
        """Many of the next records at once, as far as they are as plain as most files are. Without any, the next one is
        to be read by itself, or there is none."""
        if self._by_itself and self._pending:
            return RecordBlock((), ())
        lines = [*self._pending, *self._next_lines()]
        plain = plain_records(lines, self._dialect, self.shape)
        n_used = plain.ends[-1] if plain.ends else 0
        self._pending = deque(lines[n_used:])
        self._by_itself = not plain.breaks_off or not n_used
        begins = [self._line + 1, *(self._line + 1 + end for end in plain.ends[:-1])]
        self._line += n_used
        if n_used >= len(plain.ends) + _MANY_LINES:
            lengths = ((line, end - line) for line, end in zip(begins, [*begins[1:], self._line + 1], strict=False))
            self._long += islice(((at, n) for at, n in lengths if n > _MANY_LINES), _MOST_LONG - len(self._long))
        records = plain.records
        if [] in records or [_CTRL_Z] in records:
            kept = [index for index, cells in enumerate(records) if cells and cells != [_CTRL_Z]]
            begins, records = [begins[index] for index in kept], [records[index] for index in kept]
        self._n_records += len(records)
        return RecordBlock(begins, records)

    def _next_lines(self) -> list[str]:
        """Some thousand characters of lines, as ``_next_line`` gives them one by one; none at the end."""
        if not isinstance(self._lines, io.TextIOBase) or self._dialect.line_ends != "\n":
            return []
        text = self._lines.read(_BLOCK_CHARACTERS)
        lines = [f"{line}\n" for line in text.split("\n")]
        if last := lines.pop()[:-1]:
            lines.append(last + self._lines.readline(2 * MAX_CELL - len(last)))
        return lines

    def take_line(self) -> str:
        """The next line for the record that is being read. Raises _Swallowed where it seems to be a row of its own."""
        line = self._next_line()
        self._taken.append(line)
        if len(self._taken) > 1:
            inside = self.shape is not None and self.shape.fits(line)
            self._rows_inside = self._rows_inside + 1 if inside else 0
            if self._rows_inside > 1 or len(self._taken) > MAX_RECORD_LINES:
                raise _SwallowedLinesError
        return _with_bare_cr(line) if "\r" in line[:-2] else line

    def _next_line(self) -> str:
        if self._pending:
            return self._pending.popleft()
        line = self._lines.readline(2 * MAX_CELL)
        if not line:
            raise StopIteration
        return line

    def _plain(self) -> list[str] | Broken:
        line = self._next_line()
        self._line += 1
        text = line.rstrip(self._dialect.line_ends)
        if self._dialect.line_ends == "\n":
            text = text.removesuffix("\r")
        if len(text) > MAX_CELL:
            return Broken(f"a line of over {MAX_CELL:,} characters", "")
        if not text:
            return []
        return text.split(self._dialect.delimiter) if self._dialect.delimiter else [text]

    def _quoted(self) -> list[str] | Broken:
        self._taken, self._rows_inside = [], 0
        try:
            cells: list[str] = next(self._reader)
        except StopIteration:
            if not self._taken:
                raise
            return self._first_line("a quoted cell opens here and does not close")
        except _SwallowedLinesError:
            return self._first_line("a quoted cell opens here and does not close before the next rows")
        except csv.Error as error:
            if "field larger" in str(error):
                return self._first_line(
                    f"a cell of over {MAX_CELL:,} characters, or a quote opens here and does not close"
                )
            if "end of data" in str(error):
                return self._first_line("a quoted cell opens here and does not close")
            return self._first_line(f"broken quoting ({error})")
        if len(self._taken) > 1 and self._rows_inside == len(self._taken) - 1:
            return self._first_line("a quoted cell opens here and closes in a later row")
        self._line += len(self._taken)
        if any(_BARE_CR in cell for cell in cells):
            cells = [cell.replace(_BARE_CR, "\r") for cell in cells]
        return cells

    def _first_line(self, reason: str) -> Broken:
        """Give up the first line of the record; those behind it are read again."""
        first, *rest = self._taken
        self._pending.extendleft(reversed(rest))
        self._line += 1
        return Broken(reason, first.rstrip("\r\n"))


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Records that are not empty, and the line that each begins on."""

    lines: Sequence[int]
    records: Sequence[list[str]]


@dataclass(frozen=True, slots=True)
class PlainRecords:
    """The first records of a run of lines, empty ones included; ``ends``: of each, the lines up to its end.
    ``breaks_off``: what is left may be a record that goes on behind the lines."""

    records: Sequence[list[str]]
    ends: Sequence[int]
    breaks_off: bool = False


_NONE_PLAIN = PlainRecords((), ())


def plain_records(lines: Sequence[str], dialect: Dialect, shape: RowShape | None) -> PlainRecords:
    """The records of ``lines`` up to the first in which something is odd: broken quoting, a CR that ends no line, or a
    line inside a quoted cell that looks like a row."""
    text = "".join(lines)
    if len(text) > MAX_CELL or text.count("\r") != text.count("\r\n"):
        return _NONE_PLAIN
    if dialect.quoting == "none":
        bodies = [line.rstrip("\n").removesuffix("\r") for line in lines]
        mark = dialect.delimiter
        return PlainRecords(
            [(body.split(mark) if mark else [body]) if body else [] for body in bodies], range(1, len(lines) + 1)
        )
    records: list[list[str]] = []
    ends: list[int] = []
    breaks_off = False
    reader = csv_reader(iter(lines), dialect.delimiter or ",", dialect.quoting)
    try:
        for cells in reader:
            records.append(cells)
            ends.append(reader.line_num)
    except csv.Error as error:
        breaks_off = "end of data" in str(error)
    if ends and ends[-1] != len(ends):
        begins = [0, *ends[:-1]]
        odd = (n for n, (begin, end) in enumerate(zip(begins, ends, strict=True)) if _is_odd(lines[begin:end], shape))
        if (first_odd := next(odd, None)) is not None:
            return PlainRecords(records[:first_odd], ends[:first_odd])
    return PlainRecords(records, ends, breaks_off)


def _is_odd(lines: Sequence[str], shape: RowShape | None) -> bool:
    """Whether the lines of a record may be several rows that a quote joined by mistake."""
    if len(lines) < 2:
        return False
    return len(lines) > MAX_RECORD_LINES or (shape is not None and any(map(shape.fits, lines[1:])))


class _SwallowedLinesError(Exception):
    """Lines inside a quoted cell look like rows."""


class _Feed:
    """The lines that the csv module draws."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        return self._records.take_line()


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of delimited text, and how wide its records may be."""

    columns: tuple[str, ...]
    n_cells: int
    """Cells of a record, Excel's empty ones at the end included."""


def header_of(cells: Sequence[str], dialect: Dialect, name: str) -> Header:
    """The header that a first record is; without one, columns are called 1, 2, ...

    A column without a name is called ``index`` (the first) or ``column N``. Raises DataError for one that stands twice.
    """
    if not dialect.header:
        return Header(tuple(str(number) for number in range(1, len(cells) + 1)), len(cells))
    names = [cell.strip() for cell in cells]
    n_cells = len(names) + dialect.row_names
    while len(names) > 1 and not names[-1]:
        names.pop()
    if not any(names):
        raise DataError("is empty: not even a header", where=name, hint="the first line must name the columns")
    if dialect.row_names:
        names = ["", *names]
    columns = tuple(given or _free_name(index, names) for index, given in enumerate(names))
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(
            f"column {shown_name(twice[0])} stands twice in the header",
            where=f"{name}:{dialect.skip + 1}",
            hint="rename one of them; a file without a header: --no-header",
        )
    return Header(columns, n_cells)


def _free_name(index: int, names: Sequence[str]) -> str:
    return "index" if index == 0 and "index" not in names else f"column {index + 1}"


def pieces_of_records(records: Records, header: Header, *, codec: str) -> Iterator[Piece]:
    """Records as blocks of rows, and as rows where a block would hold an odd one. ``codec``: see ``rows_of``."""
    columns = header.columns
    while True:
        block = records.block()
        cells = block.records
        if not cells:
            if (record := next(records, None)) is None:
                return
            yield from rows_of([record], header, codec=codec)
        elif {*map(len, cells)} == {len(columns)} and not undecoded_reason("".join(map("".join, cells))):
            yield RowBlock(block.lines, dict(zip(columns, zip(*cells, strict=True), strict=True)))
        else:
            yield from rows_of(zip(block.lines, cells, strict=True), header, codec=codec)


def rows_of(
    records: Iterable[tuple[int, list[str] | Broken]], header: Header, *, codec: str
) -> Iterator[Row | RowError]:
    """Records as rows. ``codec``: that the text was decoded by, for messages."""
    columns = header.columns
    for line, cells in records:
        if isinstance(cells, Broken):
            yield RowError(line, "", cells.reason, {"line": cells.text})
            continue
        if len(cells) != len(columns):
            extra = cells[len(columns) :]
            if not extra or len(cells) > header.n_cells or any(map(str.strip, extra)):
                yield _wrong_width(line, cells, columns)
                continue
            del cells[len(columns) :]
        row = dict(zip(columns, cells, strict=True))
        if all(map(str.isascii, cells)):
            yield Row(line, row)
            continue
        undecoded = next((error for column in columns if (error := undecoded_cell(line, column, row, codec))), None)
        yield undecoded or Row(line, row)


def _wrong_width(line: int, cells: Sequence[str], columns: Sequence[str]) -> RowError:
    named = dict(zip(columns, cells, strict=False))
    rest = {f"cell {index + 1}": cells[index] for index in range(len(columns), len(cells))}
    return RowError(line, "", f"{len(cells)} cells where the header has {len(columns)}", named | rest)


def undecoded_cell(line: int, column: str, row: Mapping[str, Any], codec: str) -> RowError | None:
    """A row error when the cell holds a byte that its encoding has not."""
    reason = undecoded_reason(row[column], codec)
    return RowError(line, column, reason, row) if reason else None


def undecoded_reason(cell: str, codec: str = "utf-8") -> str:
    """Which byte of a cell was not decoded, kept by PEP 383 as U+DC80 ... U+DCFF; empty where all were."""
    if cell.isascii():
        return ""
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        byte = ord(cell[error.start]) - 0xDC00
        known = "UTF-8" if codec.startswith("utf-8") else codec
        return f"not {known} (byte 0x{byte:02X})" if 0 <= byte < 256 else f"not {known}"
    return ""
