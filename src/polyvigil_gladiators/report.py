"""The reproduction as Markdown and JSON: tables beside the paper's, with remarks and cautions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyvigil.data.atomic import write_whole
from polyvigil.data.sample import SAMPLE_NOTE
from polyvigil.evaluation.intervals import Interval
from polyvigil.workflows.learners import Log
from polyvigil_gladiators import plan
from polyvigil_gladiators.context import context_of
from polyvigil_gladiators.environment import Environment
from polyvigil_gladiators.plan import Audit, Row, Scoring, Step, Table, Training, Translation
from polyvigil_gladiators.posts import differences
from polyvigil_gladiators.result import VERDICTS, Metric, Reproduction, StepKind, StepRecord
from polyvigil_gladiators.run import Done
from polyvigil_gladiators.tables import measure_rows

_TITLES: dict[Table, str] = {
    "table1": "Table 1: the posts",
    "table2": "Table 2: eleven approaches, pooled F1 on the dev posts",
    "table3": "Table 3: the official result, F1 on the test posts",
    "table4": "Table 4: seed 42 by epoch",
    "table5": "Table 5: sets of seeds",
    "thresholds": "The 3-seed ensemble on the dev posts, by language",
    "text": "Values of the paper's text",
}
HEADER = ("row", "metric", "paper", "ours", "95%", "cross-fitted", "95%", "verdict")
_COMPETITION = ("mean", "median")
"""Further columns of Table 3, after the paper's own: of all systems in the shared task."""
LEFT = 2


@dataclass(frozen=True, slots=True)
class Columns:
    """A header, a row for each metric with a cell for each name in it, and the notes that ``(1)`` refers to."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def title(table: Table) -> str:
    """What a table is about."""
    return _TITLES[table]


def columns(reproduction: Reproduction, table: Table) -> Columns:
    """The metrics of one table. Without meaning, a metric wears a ``?``."""
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


MEANINGLESS = (
    f"Every value here is meaningless: the models have random weights, and the posts are made up. {SAMPLE_NOTE}"
)


def reproduction(
    rows: Sequence[Row],
    environment: Environment,
    done: Mapping[Step, Done],
    *,
    obstacles: Mapping[str, str],
    log: Log = lambda _: None,
) -> Reproduction:
    """Measure what is there, and put the paper's metrics beside. ``obstacles``: why rows cannot run, by their names."""
    unlike = differences(environment.data)
    context = context_of(done, environment, other_data=bool(unlike), obstacles=obstacles)
    return Reproduction(
        scale=environment.scale.name,
        meaningless=environment.scale.meaningless,
        data=environment.data.data,
        differences=unlike,
        figures=measure_rows(rows, context, log=log),
        obstacles=dict(obstacles),
        steps=tuple(
            StepRecord(
                name=step.name,
                what=_KINDS[type(step)],
                state=outcome.status.state,
                reason=outcome.status.reason,
                seconds=round(outcome.seconds, 1),
                output=str(outcome.status.output),
                users=plan.users(step, rows),
            )
            for step, outcome in context.done.items()
        ),
    )


_KINDS: Mapping[type, StepKind] = {
    Translation: "translation",
    Training: "training",
    Scoring: "scores",
    Audit: "audit",
}


def report_files(folder: Path) -> tuple[Path, Path]:
    """Where ``write`` puts the document and the page."""
    return folder / "reproduction.json", folder / "reproduction.md"


def write(result: Reproduction, folder: Path) -> None:
    """Write the reproduction as a JSON document and as a Markdown page."""
    document, markdown = report_files(folder)
    write_whole(document, result.model_dump_json(indent=2) + "\n", replace=True)
    write_whole(markdown, _markdown(result), replace=True)


def cautions(result: Reproduction) -> list[str]:
    """What a reader must know before any metric."""
    lines = [MEANINGLESS] if result.meaningless else []
    if result.differences and not result.meaningless:
        lines.append("The posts are others than the paper's, so no value is compared: " + "; ".join(result.differences))
    return lines


def _markdown(result: Reproduction) -> str:
    lines = ["# The paper's tables, run again", "", *(f"**{caution}**\n" for caution in cautions(result))]
    for table in dict.fromkeys(metric.table for metric in result.figures):
        shown = columns(result, table)
        lines += [f"## {title(table)}", "", _row(shown.header), _row(["---"] * len(shown.header))]
        lines += [*map(_row, shown.rows), "", *(f"({number}) {note}\n" for number, note in enumerate(shown.notes, 1))]
    there = {metric.verdict for metric in result.figures}
    lines += ["## Verdicts", "", *(f"- **{name}**: {what}" for name, what in VERDICTS.items() if name in there), ""]
    lines += ["## Steps", "", _row(("step", "state", "for")), _row(("---",) * 3)]
    lines += [
        _row((step.name, f"{step.state}: {step.reason}" if step.reason else step.state, ", ".join(step.users)))
        for step in result.steps
    ]
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
