"""The ``'`` before cells that a spreadsheet would run: put there when CSV is written, taken away when it is read again.

A cell that begins with ``= + - @``, tab, CR or a full-width form of them gets a ``'``, and so does one that has such a
cell behind apostrophes of its own, so that taking one away always gives what was there. A row with such a cell says so
in its column ``flags``; cells of other rows, such as those of a user's own file, are never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import regex

from polyvigil.data.table import Row, RowError, Table

FLAG = "cell_protected"
"""Among the flags of a row: a ``'`` stands before a cell of it that a spreadsheet would run."""
FLAGS = "flags"
"""The column of flags."""
_SEPARATOR = ";"
_OUTPUT_COLUMNS = frozenset({"p", "decision", "threshold", FLAGS, "bundle"})
_FORMULA = regex.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
RISKY_STARTS = frozenset("'=+-@\t\r\uff1d\uff0b\uff0d\uff20")
"""What a cell that needs a ``'`` may begin with."""
_NUMBER = regex.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def protected(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula; plain numbers stay as they are."""
    return f"'{cell}" if _needs_protection(cell) else cell


def unprotected(cell: str) -> str:
    """A cell of a marked row as it was: ``unprotected(protected(cell)) == cell`` for every cell."""
    return cell[1:] if cell.startswith("'") and _needs_protection(cell) else cell


def _needs_protection(cell: str) -> bool:
    if cell[:1].isalnum():
        return False
    bare = cell.lstrip("'")
    return bool(_FORMULA.match(bare)) and not _NUMBER.fullmatch(bare)


def with_flag(flags: str) -> str:
    """The flags of a row in which cells are protected."""
    return f"{flags}{_SEPARATOR}{FLAG}" if flags else FLAG


@dataclass(slots=True)
class UnprotectedRows:
    """The rows of an output of ``polyvigil score``, whose protected cells are given as they were."""

    rows: Iterator[Row | RowError]
    n_rows: int = 0
    """Rows so far that had such cells."""

    def __iter__(self) -> Iterator[Row | RowError]:
        return self

    def __next__(self) -> Row | RowError:
        row = next(self.rows)
        flags = row.cells.get(FLAGS)
        if isinstance(row, RowError) or not isinstance(flags, str) or FLAG not in flags.split(_SEPARATOR):
            return row
        self.n_rows += 1
        return Row(row.line, _unprotected_cells(row.cells, flags), row.derived)


def is_output(columns: Sequence[str]) -> bool:
    """Whether a file is an output of ``polyvigil score``, by its columns."""
    return _OUTPUT_COLUMNS.issubset(columns)


def unprotected_table(table: Table, *, head: str = "") -> Table:
    """The table, in which protected cells are as they were, where it is an output of ours; said once.

    ``head``: the text at its beginning. Where that has a mark it is said before the rows are read, else behind them.
    """
    if not is_output(table.columns):
        return table
    rows, late_notes = UnprotectedRows(table.rows), table.late_notes
    note = f"{table.name}: the ' that polyvigil score put before cells that a spreadsheet would run is taken away again"
    if FLAG in head:
        return replace(table, rows=rows, notes=(*table.notes, note))
    return replace(table, rows=rows, late_notes=lambda: (*late_notes(), *((note,) if rows.n_rows else ())))


def _unprotected_cells(cells: Mapping[str, Any], flags: str) -> dict[str, Any]:
    rest = [flag for flag in flags.split(_SEPARATOR) if flag != FLAG]
    plain = {name: unprotected(cell) if isinstance(cell, str) else cell for name, cell in cells.items()}
    return plain | {FLAGS: _SEPARATOR.join(rest)}
