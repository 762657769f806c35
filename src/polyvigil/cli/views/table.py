"""An aligned table of at most 80 columns, and how sizes and times are written."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 80
"""Columns of a terminal that every table fits, unless a single name is longer."""
_PAIRED = frozenset({"95%", "now", "second", "without", "first alone"})
_PAIRED_STARTS = ("after", "gain", "lost")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, dense: bool = False) -> str:
    """An aligned table of at most 80 columns; the first ``left`` columns are flush left, the others flush right.

    Columns are three spaces apart, two with ``dense`` or where three do not fit. A table that is wider than that goes
    on below itself: each part repeats the first ``left`` columns, and a value is not parted from its interval.
    """
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    if not dense and _total(widths, gap=3) <= WIDTH:
        return _grid(header, rows, range(len(header)), left=left, dense=False)
    parts = _parts(header, widths, left=left)
    return "\n\n".join(_grid(header, rows, part, left=left, dense=True) for part in parts)


def _parts(header: Sequence[str], widths: Sequence[int], *, left: int) -> list[list[int]]:
    """The indices of the columns of each part of a table, two spaces apart."""
    names = list(range(left))
    parts, current = [], names
    for group in _groups(header, left):
        wider = [*current, *group]
        if current != names and _total([widths[index] for index in wider], gap=2) > WIDTH:
            parts.append(current)
            wider = [*names, *group]
        current = wider
    return [*parts, current]


def _groups(header: Sequence[str], left: int) -> list[list[int]]:
    """The indices of columns that stay together: a value, its interval, and what it is compared with."""
    groups: list[list[int]] = []
    for index in range(left, len(header)):
        belongs = header[index] in _PAIRED or header[index].startswith(_PAIRED_STARTS)
        if belongs and groups:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _total(widths: Sequence[int], *, gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _grid(
    header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int], *, left: int, dense: bool
) -> str:
    """These columns of a table as text."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=dense)
    for index in columns:
        grid.add_column(Text(header[index]), justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(row[index]) for index in columns))
    text = StringIO()
    Console(file=text, width=400, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def size(number: int) -> str:
    """``3.2 MB``, ``1.1 GB``."""
    return f"{number / 1e6:,.1f} MB" if number < 1e9 else f"{number / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """``42 s``, ``3.5 min``, ``2.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
