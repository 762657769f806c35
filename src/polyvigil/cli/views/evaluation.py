"""An evaluation for people: metrics by language, against the dev posts, by the values of columns, and as workload.

In come results of ``evaluation``; out go lines of text, at most 80 columns wide. A value is shown beside its 95%
interval.
"""

from __future__ import annotations

from collections.abc import Sequence

from polyvigil.cli.views.markdown import word_lines
from polyvigil.cli.views.table import table
from polyvigil.decide.tune import FEW_POSITIVES
from polyvigil.evaluation.dev_comparison import DevComparison, DevDifference
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.intervals import Interval
from polyvigil.evaluation.slices import ColumnSlices, Slice, ValueSlice
from polyvigil.evaluation.workload import Workload

_VALUE_WIDTH = 14
_NAMES_SHOWN = 12


def evaluation_lines(evaluation: Evaluation, *, warned: Sequence[str] = ()) -> list[str]:
    """An evaluation as a table with language as row, and its cautions but those that the command has ``warned`` of."""
    header = ["language", "posts", "positives", "flagged", "precision", "recall", "F1", "95%", "AP", "95%", "threshold"]
    if evaluation.same_set:
        header[6:7] = ["F1 same set", "cross-fitted"]
    rows = [_row(part) for part in (*evaluation.languages, evaluation.pooled)]
    title = f"{evaluation.data}: {evaluation.posts:,} posts, {evaluation.positives:,} positive"
    return [
        title,
        "",
        table(header, rows),
        "",
        f"macro F1 {_macro(evaluation)} over the languages; pooled leaves the CADEC groups out, as the task does",
        *(word_lines("same set", "cross-fitted") if evaluation.same_set else ()),
        *(f"caution: {caution}" for caution in evaluation.cautions if not _is_repeated(caution, warned)),
    ]


def _is_repeated(caution: str, warned: Sequence[str]) -> bool:
    """Whether a warning says the same: word for word, or of a threshold that the language has few positives."""
    language, few_positives, _ = caution.partition(": only ")
    few = tuple(f"{language}: found on {number}" for number in range(10)) if few_positives else ()
    return caution in warned or any(warning.startswith(few) for warning in warned if few)


def _macro(evaluation: Evaluation) -> str:
    interval = evaluation.macro_f1_interval
    text = f"{evaluation.macro_f1:.3f} ({interval.low:.3f}-{interval.high:.3f})"
    if evaluation.cross_fitted_macro_f1 is None:
        return text
    return f"{text}, cross-fitted {evaluation.cross_fitted_macro_f1:.3f},"


def _row(part: Slice) -> tuple[str, ...]:
    source = "" if part.threshold_source in {None, "own"} else f" {part.threshold_source}"
    interval = part.cross_fitted.f1_interval if part.cross_fitted else part.f1_interval
    crossed = (f"{part.cross_fitted.f1:.3f}",) if part.cross_fitted else ()
    return (
        part.name,
        f"{part.posts:,}",
        f"{part.positives:,}",
        f"{part.flagged:,}",
        f"{part.precision:.3f}",
        f"{part.recall:.3f}",
        f"{part.f1:.3f}",
        *crossed,
        f"{interval.low:.3f}-{interval.high:.3f}",
        f"{part.average_precision:.3f}",
        f"{part.average_precision_interval.low:.3f}-{part.average_precision_interval.high:.3f}",
        "" if part.threshold is None else f"{part.threshold:.3f}{source}",
    )


def dev_lines(evaluation: Evaluation) -> list[str]:
    """F1 here beside cross-fitted F1 on the dev posts; nothing where there is no such value."""
    comparison = evaluation.dev_comparison
    if comparison is None:
        return []
    compared = {part.name: part.f1 for part in comparison.languages}
    rows = [_dev_row(part.name, compared.get(part.name), part) for part in evaluation.languages]
    if comparison.pooled:
        rows.append(_dev_row("pooled", comparison.pooled.f1))
    if comparison.macro_f1:
        rows.append(_dev_row("macro F1", comparison.macro_f1))
    return [
        "",
        "against the dev posts, each decided by thresholds tuned on others",
        "",
        table(("language", "F1 here", "95%", "F1 dev", "95%", "difference", "95%"), rows, dense=True),
        *_coverage_note(evaluation, comparison),
    ]


def _dev_row(name: str, difference: DevDifference | None, part: Slice | None = None) -> tuple[str, ...]:
    """``part``: the slice of a language that is compared with nothing."""
    if difference is None:
        here = (f"{part.f1:.3f}", _range(part.f1_interval)) if part and part.positives else ("-", "-")
        return (name, *here, "-", "-", "-", "-")
    return (
        name,
        f"{difference.value:.3f}",
        _range(difference.value_interval),
        f"{difference.dev:.3f}",
        _range(difference.dev_interval),
        f"{difference.difference:+.3f}",
        f"{difference.low:+.3f} to {difference.high:+.3f}",
    )


def _coverage_note(evaluation: Evaluation, comparison: DevComparison) -> list[str]:
    """Which languages the last rows are over, where it is not all of them."""
    notes = []
    if comparison.without_dev:
        names = _names(comparison.without_dev)
        notes.append(f"-: no dev posts, or no positives on one side ({names})")
    if comparison.pooled and comparison.pooled.f1.value != evaluation.pooled.f1:
        notes.append(f"pooled here: over the languages that the dev posts have ({_names(comparison.pooled_languages)})")
    if comparison.macro_f1 and comparison.macro_f1.value != evaluation.macro_f1:
        notes.append(f"macro F1 here: over the languages compared ({_names(comparison.macro_languages)})")
    return ["", *notes] if notes else []


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def slice_lines(evaluation: Evaluation) -> list[str]:
    """For each column a table of language and value, each metric above its 95% interval."""
    lines: list[str] = []
    for column in evaluation.slices:
        crossed = ", cross-fitted" if evaluation.same_set else ""
        lines += ["", f"by {column.column}: {column.values:,} value{'' if column.values == 1 else 's'}{crossed}", ""]
        lines.append(_slice_table(column))
        if any(part.few_positives for part in (*column.pooled, *column.languages)):
            lines += ["", f"* fewer than {FEW_POSITIVES} positives: the metrics of the row can move a lot"]
    return lines


def _slice_table(column: ColumnSlices) -> str:
    rows = [row for part in (*column.languages, *column.pooled) for row in _slice_rows(part)]
    return table(("language", "value", "posts", "pos.", "precision", "recall", "F1", "AP"), rows, left=2, dense=True)


def _slice_rows(part: ValueSlice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    metrics, few = part.metrics, "*" if part.few_positives else " "
    crossed = metrics.cross_fitted or metrics  # on dev posts the metrics to stand by
    name = metrics.name if len(metrics.name) <= _VALUE_WIDTH else metrics.name[: _VALUE_WIDTH - 1] + "…"
    pairs = [
        (crossed.precision, crossed.precision_interval, bool(metrics.flagged)),
        (crossed.recall, crossed.recall_interval, bool(metrics.positives)),
        (crossed.f1, crossed.f1_interval, bool(metrics.positives)),
        (metrics.average_precision, metrics.average_precision_interval, bool(metrics.positives)),
    ]
    values = [f"{value:.3f}" if exists else "-" for value, _, exists in pairs]
    intervals = [_range(interval) if exists else "" for _, interval, exists in pairs]
    counts = (f"{metrics.posts:,}", f"{metrics.positives:,}{few}")
    return (part.language, name, *counts, *values), ("", "", "", "", *intervals)


def _range(interval: Interval) -> str:
    """``.62-1.00``: without the zeros that all shares begin with, so that four of them fit a line."""
    return "-".join(f"{end:.2f}".removeprefix("0") for end in (interval.low, interval.high))


def workload_lines(workload: Workload) -> list[str]:
    """What the metrics mean for those who read: posts for each ADE, recall within a budget, how far to read."""
    parts = [*workload.languages, workload.pooled]
    first = parts[0]
    header = ["language", "posts per ADE", "95%"]
    header += [f"recall in {one.budget:,}" for one in first.budgets]
    header += [f"read for {one.recall:.0%}" for one in first.reading]
    header += [f"PPV at {first.predictive_value.prevalence:.1%}"] if first.predictive_value else []
    rows = []
    for part in parts:
        per = part.per_ade
        row = [
            part.name,
            "" if per.value is None else f"{per.value:.1f}",
            f"{per.low:.1f}-" + ("" if per.high is None else f"{per.high:.1f}"),
        ]
        row += [f"{one.recall:.2f} ({one.interval.low:.2f}-{one.interval.high:.2f})" for one in part.budgets]
        row += [f"{one.share:.0%} ({one.interval.low:.0%}-{one.interval.high:.0%})" for one in part.reading]
        if value := part.predictive_value:
            row.append(f"{value.value:.2f} ({value.interval.low:.2f}-{value.interval.high:.2f})")
        rows.append(row)
    return ["", table(header, rows)]
