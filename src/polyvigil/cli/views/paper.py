"""A table for a paper or a notebook: LaTeX (booktabs), Markdown, or CSV with the bounds of intervals as columns."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from polyvigil.cli.output import Answer, Output
    from polyvigil.evaluation.compare import Comparison, SeveralComparison
    from polyvigil.evaluation.evaluate import Evaluation
    from polyvigil.evaluation.intervals import Interval
    from polyvigil.evaluation.paired import Difference
    from polyvigil.evaluation.slices import Slice


class TableFormat(StrEnum):
    """How a table is written."""

    latex = "latex"
    markdown = "markdown"
    csv = "csv"


PaperFormat = Annotated[
    TableFormat | None,
    typer.Option("--table", help="Print the metrics alone, as a table for a paper; what else there is goes to stderr."),
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric, with its 95% interval where it has one. ``signed``: a difference, whose sign is always written."""

    value: float
    low: float | None = None
    high: float | None = None
    signed: bool = False

    def shown(self) -> str:
        """``0.612 (0.580 to 0.641)``."""
        if self.low is None or self.high is None:
            return self._number(self.value)
        return f"{self._number(self.value)} ({self._number(self.low)} to {self._number(self.high)})"

    def _number(self, value: float) -> str:
        return f"{value:+.3f}" if self.signed else f"{value:.3f}"


Cell: TypeAlias = str | int | Estimate | None
"""None where there is no value."""


@dataclass(frozen=True, slots=True)
class PaperTable:
    """What it is of, the names of its columns, its rows, and remarks below it."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()


def table_answer(out: Output, answer: Answer, tables: Sequence[PaperTable], form: TableFormat | None) -> Answer:
    """Write tables to stdout where ``--table`` asks for them, and the answer's lines to stderr then; else the answer.

    Raises a usage error where ``--json`` would write to stdout, too.
    """
    from polyvigil.cli.output import Answer, escaped

    if form is None:
        return answer
    check_table(out, form)
    for index, table in enumerate(tables):
        for line in [""] * bool(index) + paper_lines(table, form):
            typer.echo(escaped(line))
    return Answer(answer.data, answer.lines, answer.exit_code, stdout_is_data=True)


def check_table(out: Output, form: TableFormat | None) -> None:
    """Raises a usage error where ``--json`` would write to stdout, too: before the work."""
    if form is not None and out.json:
        raise typer.BadParameter("a table and --json would both write to stdout", param_hint="--table")


def paper_lines(table: PaperTable, form: TableFormat) -> list[str]:
    """The table, line by line."""
    return {TableFormat.latex: _latex, TableFormat.markdown: _markdown, TableFormat.csv: _csv}[form](table)


def plain_lines(table: PaperTable) -> list[str]:
    """The table for a terminal; its first two columns are names."""
    from polyvigil.cli.views.table import table as aligned

    rows = [tuple(map(_text, row)) for row in table.rows]
    notes = [line for note in table.notes for line in textwrap.wrap(note, 79)]
    return [table.caption, "", aligned(tuple(table.header), rows, left=2), "", *notes]


def evaluation_table(evaluation: Evaluation) -> PaperTable:
    """Precision, recall, F1 and average precision by language, pooled, and macro F1."""
    crossed = any(part.cross_fitted for part in (*evaluation.languages, evaluation.pooled))
    source = "thresholds tuned on other posts of the set (cross-fitted)" if crossed else "thresholds as in the bundle"
    rows: list[Sequence[Cell]] = [_metrics(part) for part in (*evaluation.languages, evaluation.pooled)]
    rows.append(
        ("macro", None, None, None, None, _macro(evaluation), None, None),
    )
    return PaperTable(
        f"{evaluation.data}: {evaluation.posts:,} posts, {evaluation.positives:,} positive; {source}; 95% intervals.",
        ("language", "posts", "positives", "precision", "recall", "F1", "AP", "threshold"),
        rows,
        ("pooled leaves the CADEC groups out, as the task does",),
    )


def _macro(evaluation: Evaluation) -> Estimate:
    if evaluation.cross_fitted_macro_f1 is not None:
        return Estimate(evaluation.cross_fitted_macro_f1)
    return _estimate(evaluation.macro_f1, evaluation.macro_f1_interval)


def _metrics(part: Slice) -> tuple[Cell, ...]:
    rates = part.cross_fitted or part
    return (
        part.name,
        part.posts,
        part.positives,
        _estimate(rates.precision, rates.precision_interval),
        _estimate(rates.recall, rates.recall_interval),
        _estimate(rates.f1, rates.f1_interval),
        _estimate(part.average_precision, part.average_precision_interval),
        None if part.threshold is None else Estimate(part.threshold),
    )


def _estimate(value: float, interval: Interval) -> Estimate:
    return Estimate(value, interval.low, interval.high)


def comparison_table(comparison: Comparison) -> PaperTable:
    """F1 of both bundles and its difference, by language and pooled, with p and p corrected over the languages."""
    rows = []
    for part in (*comparison.paired.languages, comparison.paired.pooled):
        f1, ap = part.f1, part.average_precision
        rows.append(
            (
                part.name,
                part.posts,
                part.positives,
                Estimate(f1.first),
                Estimate(f1.second),
                Estimate(f1.difference, f1.low, f1.high, signed=True),
                None if f1.p_randomisation is None else Estimate(f1.p_randomisation),
                None if f1.p_holm is None else Estimate(f1.p_holm),
                None if ap is None else Estimate(ap.difference, ap.low, ap.high, signed=True),
            )
        )
    return PaperTable(
        f"{comparison.second} less {comparison.first} on {comparison.data}; 95% intervals.",
        ("language", "posts", "positives", "F1 first", "F1 second", "difference", "p", "p (Holm)", "AP difference"),
        rows,
        ("p: approximate randomisation; Holm: corrected over the languages",),
    )


def several_table(comparison: SeveralComparison, names: Sequence[str]) -> PaperTable:
    """F1 of each bundle by language and pooled, and its difference to the first. ``names``: of all, in their order."""
    first, *further = names
    parts = [compared.paired for compared in comparison.bundles]
    rows: list[Sequence[Cell]] = []
    for index, of_first in enumerate((*parts[0].languages, parts[0].pooled)):
        rows.append(
            (of_first.name, first, of_first.posts, of_first.positives, Estimate(of_first.f1.second), *[None] * 4)
        )
        for name, paired in zip(further, parts, strict=True):
            part = (*paired.languages, paired.pooled)[index]
            f1, ap = part.f1, part.average_precision
            rows.append(
                (
                    part.name,
                    name,
                    part.posts,
                    part.positives,
                    Estimate(f1.first),
                    _difference(f1),
                    _p(f1.p_randomisation),
                    _p(f1.p_holm),
                    None if ap is None else _difference(ap),
                )
            )
    n_tests = sum(bool(part.positives) for part in parts[0].languages) * len(further)
    return PaperTable(
        f"Each bundle less {first} on {comparison.data}; 95% intervals.",
        ("language", "bundle", "posts", "positives", "F1", "difference", "p", "p (Holm)", "AP difference"),
        rows,
        (
            f"p: approximate randomisation; Holm: of pooled over the {len(further)} bundles, of languages over the "
            f"{n_tests} pairs of a bundle and a language with positives",
        ),
    )


def _difference(difference: Difference) -> Estimate:
    return Estimate(difference.difference, difference.low, difference.high, signed=True)


def _p(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Estimate):
        return cell.shown()
    return f"{cell:,}" if isinstance(cell, int) else cell


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_cell(cell: Cell) -> str:
    """A minus as one, not as a hyphen."""
    text = _latex_text(_text(cell))
    return text.replace("-", "$-$").replace("+", "$+$") if isinstance(cell, Estimate) else text


def _latex(table: PaperTable) -> list[str]:
    header = " & ".join(map(_latex_text, table.header))
    return [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex_text(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        rf"{header} \\",
        r"\midrule",
        *(rf"{' & '.join(map(_latex_cell, row))} \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {_latex_text(note)}" for note in table.notes),
        r"\end{table}",
    ]


def _markdown(table: PaperTable) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"

    return [
        table.caption,
        "",
        line(list(table.header)),
        "|" + "---|" + "---:|" * (len(table.header) - 1),
        *(line([_text(cell) for cell in row]) for row in table.rows),
        *(part for note in table.notes for part in ("", note)),
    ]


def _csv(table: PaperTable) -> list[str]:
    """Numbers in full, the bounds of an interval in columns of their own; no caption and no remarks."""
    bounded = [
        any(isinstance(cell, Estimate) and cell.low is not None for cell in column)
        for column in zip(*table.rows, strict=True)
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        name
        for column, wide in zip(table.header, bounded, strict=True)
        for name in ([column, f"{column} low", f"{column} high"] if wide else [column])
    )
    for row in table.rows:
        cells: list[object] = []
        for cell, wide in zip(row, bounded, strict=True):
            parts = (cell.value, cell.low, cell.high) if isinstance(cell, Estimate) else (cell, None, None)
            cells += parts if wide else parts[:1]
        writer.writerow("" if cell is None else cell for cell in cells)
    return text.getvalue().splitlines()
