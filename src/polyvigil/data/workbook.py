"""Excel workbooks (.xlsx, .xlsm, .xlsb, .xls, .ods) to records, by python-calamine."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import IO, Any

from polyvigil.data.columns import NAMES_OF
from polyvigil.errors import DataError

ENDINGS = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}
_MOST_TITLES = 12  # rows of a sheet, among which its header is looked for
_EXACT_DIGITS = 10**15  # Excel keeps 15 digits; ids that are longer have lost their last ones


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: its records as rows of cells, from the first used row on, and what to tell of it."""

    records: Iterator[tuple[int, list[Any]]]
    """The number of a row in the sheet, from 1, and its cells as Python's own values; an empty cell is None."""
    notes: tuple[str, ...]


def open_sheet(stream: IO[bytes], name: str, *, sheet: str) -> Sheet:
    """Open a sheet of a workbook by its name, or the first one that holds anything.

    Raises DataError for a file that is no workbook, is under a password, or has no such sheet.
    """
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(stream.read()))
        names = list(workbook.sheet_names)
        if sheet and sheet not in names:
            raise DataError(f"there is no sheet {sheet!r}", where=name, hint=f"it has {_listed(names)}")
        chosen = sheet or _likeliest(workbook, names)
        if chosen:
            note = f"{name}: recognised: sheet {chosen!r} of {_listed(names)} (if that is wrong: --set data.sheet=NAME)"
            notes = () if sheet or len(names) == 1 else (note,)
            return Sheet(_records(workbook.get_sheet_by_name(chosen)), notes)
    except PasswordError as error:
        raise DataError("the workbook is under a password", where=name, hint="save it without one") from error
    except (CalamineError, OSError, ValueError) as error:
        raise DataError("is no workbook that can be read", where=name, hint="save it again as .xlsx or CSV") from error
    raise DataError("is empty: not even a header", where=name, hint="the first row must name the columns")


def _likeliest(workbook: Any, names: Sequence[str]) -> str:
    """The sheet whose first rows name the text and the label, or the text; of equals the first that holds anything."""
    most, likeliest = -1, ""
    for name in names:
        opened = workbook.get_sheet_by_name(name)
        leading = (cells for _, cells in islice(_records(opened), _MOST_TITLES))
        titles = [{str(cell).strip().lower() for cell in cells if cell is not None} for cells in leading]
        fits = max((sum(bool(NAMES_OF[role] & title) for role in ("text", "label")) for title in titles), default=-1)
        if fits > most:
            most, likeliest = fits, name
    return likeliest


def _records(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    start = sheet.start[0] if sheet.start else 0
    for number, cells in enumerate(sheet.iter_rows(), start + 1):
        if any(cell != "" for cell in cells):
            yield number, [_plain(cell) for cell in cells]


def _plain(cell: Any) -> Any:
    """A cell as JSON and Parquet can hold it: whole numbers as int, dates as ISO text."""
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**63:
        return int(cell)
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return None if cell == "" else cell


def lost_digits(cells: Sequence[Any]) -> bool:
    """Whether a number among the cells is longer than Excel keeps numbers exactly."""
    return any(isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) >= _EXACT_DIGITS for cell in cells)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
