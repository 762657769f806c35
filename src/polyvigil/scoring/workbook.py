"""Rows to an Excel workbook (.xlsx): text stays text, whatever it begins with, and nothing is cut.

In: plain cells (``None``, numbers, booleans, text). Out: a sheet ``posts`` with the columns as its first row, and
further ones, ``posts 2`` and so on, where a sheet is full. The same rows give the same bytes. Source of the limits:
Excel specifications and limits, support.microsoft.com.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from polyvigil.data.shown import shown_column
from polyvigil.errors import DataError

if TYPE_CHECKING:
    from xlsxwriter import Workbook  # type: ignore[import-untyped]

MOST_ROWS = 1_048_576
"""Of a sheet, its header among them."""
MOST_COLUMNS = 16_384
MOST_CHARACTERS = 32_767
"""Of a cell, in UTF-16 code units."""
SHEET = "posts"
_EXACT = 10**15  # whole numbers of up to 15 digits are kept exactly
_MADE = datetime(1980, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # of every workbook, as of the files in its ZIP
_OPTIONS = {"strings_to_numbers": False, "strings_to_formulas": False, "strings_to_urls": False}


class WorkbookRows:
    """Takes rows, and begins a further sheet where one is full."""

    def __init__(self, workbook: Workbook, columns: Sequence[str], *, most_rows: int) -> None:
        self._workbook = workbook
        self._columns = columns
        self._most_rows = most_rows
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        number = len(self._workbook.worksheets()) + 1
        self._sheet = self._workbook.add_worksheet(SHEET if number == 1 else f"{SHEET} {number}")
        self._sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{MOST_ROWS}"})
        self._row = 0
        self._write(self._columns)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows by the names of their columns; a row lacks what is empty."""
        for row in rows:
            if self._row == self._most_rows:
                self._begin_sheet()
            self._write([row.get(column) for column in self._columns])

    def _write(self, cells: Sequence[Any]) -> None:
        for column, cell in enumerate(cells):
            if isinstance(cell, bool):
                self._sheet.write_boolean(self._row, column, cell)
            elif _is_exact(cell):
                self._sheet.write_number(self._row, column, cell)
            elif cell is not None and cell != "":
                self._sheet.write_string(self._row, column, str(cell))
        self._row += 1


@contextmanager
def workbook_rows(
    stream: IO[bytes], columns: Sequence[str], *, folder: Path | None = None, most_rows: int = MOST_ROWS
) -> Iterator[WorkbookRows]:
    """A workbook into ``stream``, whole when the block ends.

    ``folder``: where rows wait on the disk, so that memory does not grow with them; without it they are held.
    """
    from xlsxwriter import Workbook

    held: dict[str, object] = (
        {"in_memory": True} if folder is None else {"constant_memory": True, "tmpdir": str(folder)}
    )
    with Workbook(stream, {**_OPTIONS, **held}) as workbook:
        workbook.set_properties({"created": _MADE})
        yield WorkbookRows(workbook, columns, most_rows=most_rows)


def check_columns(columns: Sequence[str], *, where: str) -> None:
    """Raise DataError for more columns than a sheet has."""
    if len(columns) > MOST_COLUMNS:
        raise DataError(
            f"{len(columns):,} columns; a sheet of a workbook has {MOST_COLUMNS:,}",
            where=where,
            hint="write .csv, .jsonl or .parquet",
        )


def check_cells(row: Mapping[str, Any], *, where: str) -> None:
    """Raise DataError for a text that is longer than a cell of a workbook, which would cut it."""
    for column, cell in row.items():
        if isinstance(cell, str) and len(cell) > MOST_CHARACTERS // 2:
            units = len(cell.encode("utf-16-le", "surrogatepass")) // 2
            if units > MOST_CHARACTERS:
                raise DataError(
                    f"{shown_column(column)}: {units:,} characters; a cell of a workbook takes {MOST_CHARACTERS:,}",
                    where=where,
                    hint="write .csv, .jsonl or .parquet",
                )


def sheets_note(rows: int) -> tuple[str, ...]:
    """One line where rows fill more than one sheet."""
    sheets = -(-rows // (MOST_ROWS - 1))
    if sheets < 2:
        return ()
    return (f"a sheet of a workbook has {MOST_ROWS:,} rows: the posts stand in {sheets} sheets, {SHEET!r} to "
            f"'{SHEET} {sheets}'; polyvigil reads one of them at a time, with --set data.sheet=NAME",)  # fmt: skip


def _is_exact(cell: Any) -> bool:
    """Whether a cell is a number that Excel keeps as it is."""
    if isinstance(cell, float):
        return math.isfinite(cell)
    return isinstance(cell, int) and abs(cell) < _EXACT
