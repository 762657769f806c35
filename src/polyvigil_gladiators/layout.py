"""How the figures of one table stand in columns, for the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass

from polyvigil.evaluation.intervals import Interval
from polyvigil_gladiators.plan import Table
from polyvigil_gladiators.result import Figure, Reproduction

_TITLES: dict[Table, str] = {
    "table1": "Table 1: the posts",
    "table2": "Table 2: eleven approaches, pooled F1 on the dev posts",
    "table3": "Table 3: the official result, F1 on the test posts",
    "table4": "Table 4: seed 42 by epoch",
    "table5": "Table 5: sets of seeds",
    "thresholds": "The 3-seed ensemble on the dev posts, by language",
    "text": "Figures of the paper's text",
}
HEADER = ("row", "figure", "paper", "ours", "95%", "cross-fitted", "95%", "verdict")
_COMPETITION = ("mean", "median")
"""Further columns of Table 3, after the paper's own: of all systems in the shared task."""
LEFT = 2


@dataclass(frozen=True, slots=True)
class Columns:
    """A header, a row for each figure with a cell for each name in it, and the notes that ``(1)`` refers to."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def title(table: Table) -> str:
    """What a table is about."""
    return _TITLES[table]


def columns(told: Reproduction, table: Table) -> Columns:
    """The figures of one table. Without meaning, a figure wears a ``?``."""
    rows, notes = [], []
    for figure in told.figures:
        if figure.table != table:
            continue
        marks = []
        for note in ([figure.reason] if figure.reason else []) + list(figure.notes):
            if note not in notes:
                notes.append(note)
            marks.append(f"({notes.index(note) + 1})")
        cells = (*_cells(figure, doubt="?" if told.meaningless else ""), " ".join([figure.verdict, *marks]))
        rows.append((*cells[:3], *_competition(figure), *cells[3:]) if table == "table3" else cells)
    header = (*HEADER[:3], *_COMPETITION, *HEADER[3:]) if table == "table3" else HEADER
    return Columns(header, tuple(rows), tuple(notes))


def _competition(figure: Figure) -> tuple[str, ...]:
    return tuple(
        "" if value is None else f"{value:.3f}" for value in (figure.competition_mean, figure.competition_median)
    )


def _cells(figure: Figure, *, doubt: str) -> tuple[str, ...]:
    ours = figure.ours

    def number(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.1e}" if figure.decimals > 5 else f"{value:,.{max(0, figure.decimals)}f}"

    def spread(interval: Interval | None) -> str:
        shown = interval is not None and interval.low < interval.high
        between = " to " if interval and interval.low < 0 else "-"
        return f"{number(interval.low)}{between}{number(interval.high)}{doubt}" if interval and shown else ""

    flagged = f", {ours.flagged:,} flagged" if ours and figure.paper_flagged is not None else ""
    return (
        figure.row,
        figure.what,
        number(figure.paper) + (f", {figure.paper_flagged:,} flagged" if figure.paper_flagged is not None else ""),
        number(ours.value) + flagged + doubt if ours else "",
        spread(ours.interval) if ours else "",
        number(ours.cross_fitted) + doubt if ours and ours.cross_fitted is not None else "",
        spread(ours.cross_fitted_interval) if ours else "",
    )
