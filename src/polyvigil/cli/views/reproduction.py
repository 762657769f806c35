"""A reproduction for people: its plan, why nothing was begun, and the paper's values beside the measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from polyvigil.cli.output import Answer
from polyvigil.cli.views.paper import Cell, Estimate, PaperTable, TableFormat
from polyvigil.cli.views.table import duration, size, table
from polyvigil.evaluation.intervals import Interval
from polyvigil_gladiators.cost import Cost
from polyvigil_gladiators.plan import Step, users
from polyvigil_gladiators.report import LEFT, cautions, columns, report_files, title
from polyvigil_gladiators.reproduce import ReproductionPlan
from polyvigil_gladiators.result import VERDICTS, Metric, Reproduction


def plan_answer(plan: ReproductionPlan, costs: Mapping[Step, Cost]) -> Answer:
    """Each step: how far it is, for which rows, and what it would take."""
    rows, data, notes = [], [], []
    for step, status in plan.statuses.items():
        cost = costs.get(step)
        note = status.reason or (cost.note if cost else "")
        if note:
            notes.append(f"{step.name}: {note}")
        rows.append((step.name, ", ".join(users(step, plan.rows)), status.state, *_cells(cost)))
        data.append(
            {
                "name": step.name,
                "users": users(step, plan.rows),
                "state": status.state,
                "reason": status.reason,
                "output": str(status.output),
                "cost": cost and cost.model_dump(mode="json"),
            }
        )
    sizes = ("parameters", "time", "memory", "disk meanwhile", "after", "download")
    header = ("step", "for", "state", "posts", "steps", *sizes)
    seconds = [cost.seconds for cost in costs.values() if cost.seconds is not None]
    after = [cost.disk_after for cost in costs.values() if cost.disk_after is not None]
    downloads = {name: number for cost in costs.values() for name, number in cost.downloads.items()}
    fetched = [f"to be fetched: about {size(sum(downloads.values()))}, {', '.join(downloads)}"] if downloads else []
    lines = [
        table(header, rows, left=3),
        "",
        *notes,
        *(f"cannot run: {', '.join(keys)}: {reason}" for reason, keys in _by_reason(plan.obstacles).items()),
        *fetched,
        f"in all about {duration(sum(seconds))} and {size(sum(after))} for what is known; nothing was fetched or "
        "trained",
    ]
    return Answer({"steps": data, "obstacles": dict(plan.obstacles)}, lines)


def obstacle_lines(obstacles: Mapping[str, str]) -> list[str]:
    """Why nothing was begun: the rows that cannot run, those with the same reason on one line."""
    noun = "row" if len(obstacles) == 1 else "rows"
    return [
        f"{len(obstacles)} {noun} cannot run, so nothing was begun:",
        "",
        *(f"{', '.join(keys)}: {reason}" for reason, keys in _by_reason(obstacles).items()),
        "",
        "mend that, or run the other rows: --partial",
    ]


def _by_reason(obstacles: Mapping[str, str]) -> dict[str, list[str]]:
    """The rows that cannot run, by why."""
    reasons: dict[str, list[str]] = {}
    for key, reason in obstacles.items():
        reasons.setdefault(reason, []).append(key)
    return reasons


def reproduction_lines(reproduction: Reproduction, folder: Path) -> list[str]:
    """Table by table, with notes, what the verdicts mean, and the files in ``folder``."""
    lines = [*cautions(reproduction), ""] if cautions(reproduction) else []
    for name in dict.fromkeys(metric.table for metric in reproduction.figures):
        shown = columns(reproduction, name)
        lines += [title(name), "", table(shown.header, shown.rows, left=LEFT), ""]
        lines += [f"({number}) {note}" for number, note in enumerate(shown.notes, start=1)]
        lines += [""] * bool(shown.notes)
    there = {metric.verdict for metric in reproduction.figures}
    lines += [f"{name}: {what}" for name, what in VERDICTS.items() if name in there]
    return [*lines, "", *(f"-> {path}" for path in report_files(folder))]


def reproduction_tables(reproduction: Reproduction, form: TableFormat | None) -> list[PaperTable]:
    """Each table of the paper with ours beside; as CSV one table of all metrics, numbers as numbers."""
    remarks = cautions(reproduction)
    if form is TableFormat.csv:
        rows = [(metric.table, metric.row, metric.what, *_values(metric)) for metric in reproduction.figures]
        return [PaperTable("", ("table", "row", "metric", "paper", "ours", "cross-fitted", "verdict"), rows)]
    tables = []
    for name in dict.fromkeys(metric.table for metric in reproduction.figures):
        shown = columns(reproduction, name)
        notes = [*remarks, *(f"({number}) {note}" for number, note in enumerate(shown.notes, start=1))]
        tables.append(PaperTable(title(name), shown.header, shown.rows, notes))
    return tables


def _values(metric: Metric) -> tuple[Cell, ...]:
    """The paper's value, what was measured, the same cross-fitted, and the verdict."""
    paper = None if metric.paper is None else Estimate(metric.paper)
    measured, crossed = metric.ours, None
    if measured is None:
        return (paper, None, None, metric.verdict)
    if measured.cross_fitted is not None:
        crossed = _estimate(measured.cross_fitted, measured.cross_fitted_interval)
    return (paper, _estimate(measured.value, measured.interval), crossed, metric.verdict)


def _estimate(value: float, interval: Interval | None) -> Estimate:
    return Estimate(value, interval.low, interval.high) if interval else Estimate(value)


def _cells(cost: Cost | None) -> tuple[str, ...]:
    if cost is None:
        return ("",) * 8
    return (
        "" if cost.posts is None else f"{cost.posts:,}",
        "" if cost.steps is None else f"{cost.steps:,}",
        "" if cost.parameters is None else f"{cost.parameters / 1e6:,.1f}M",
        "" if cost.seconds is None else duration(cost.seconds),
        "" if cost.memory is None else f"{cost.memory / 1e9:.1f} GB",
        "" if cost.disk_meanwhile is None else size(cost.disk_meanwhile),
        "" if cost.disk_after is None else size(cost.disk_after),
        size(sum(cost.downloads.values())) if cost.downloads else "",
    )
