"""How the figures of one table stand in columns, for the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass

from polyvigil.evaluation.intervals import Interval
from polyvigil_gladiators.plan import Table
from polyvigil_gladiators.result import Metric, Reproduction

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


def columns(reproduction: Reproduction, table: Table) -> Columns:
    """The figures of one table. Without meaning, a figure wears a ``?``."""
    rows, notes = [], []
    for metric in reproduction.figures:
        if metric.table != table:
            continue
        marks = []
        for note in ([metric.reason] if metric.reason else []) + list(metric.notes):
            if note not in notes:
                notes.append(note)
            marks.append(f"({notes.index(note) + 1})")
        cells = (*_cells(metric, doubt="?" if reproduction.meaningless else ""), " ".join([metric.verdict, *marks]))
        rows.append((*cells[:3], *_competition(metric), *cells[3:]) if table == "table3" else cells)
    header = (*HEADER[:3], *_COMPETITION, *HEADER[3:]) if table == "table3" else HEADER
    return Columns(header, tuple(rows), tuple(notes))


def _competition(metric: Metric) -> tuple[str, ...]:
    return tuple(
        "" if value is None else f"{value:.3f}" for value in (metric.competition_mean, metric.competition_median)
    )


def _cells(metric: Metric, *, doubt: str) -> tuple[str, ...]:
    measured = metric.ours

    def number(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.1e}" if metric.decimals > 5 else f"{value:,.{max(0, metric.decimals)}f}"

    def interval_text(interval: Interval | None) -> str:
        shown = interval is not None and interval.low < interval.high
        between = " to " if interval and interval.low < 0 else "-"
        return f"{number(interval.low)}{between}{number(interval.high)}{doubt}" if interval and shown else ""

    flagged = f", {measured.flagged:,} flagged" if measured and metric.paper_flagged is not None else ""
    return (
        metric.row,
        metric.what,
        number(metric.paper) + (f", {metric.paper_flagged:,} flagged" if metric.paper_flagged is not None else ""),
        number(measured.value) + flagged + doubt if measured else "",
        interval_text(measured.interval) if measured else "",
        number(measured.cross_fitted) + doubt if measured and measured.cross_fitted is not None else "",
        interval_text(measured.cross_fitted_interval) if measured else "",
    )
