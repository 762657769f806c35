"""``polyvigil evaluate``, and ``polyvigil report``, its older name where a report is written.

In come a bundle and a file of labelled posts, or the bundle alone, whose stored dev scores are measured then; out go
tables and, with ``-o``, a report that names the command line it was made by. Or a file of predictions and a gold file:
out goes the official score.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.judging import AskEndpoint, endpoint_permission, report_judge_usage
from polyvigil.cli.options import (
    DEFAULT_POSTS,
    BundleFolder,
    Device,
    LabelledPosts,
    OrOnHub,
    PostsInput,
    Replace,
    text_form,
)
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.views.paper import PaperFormat, TableFormat, check_table

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.config.score import TextForm
    from polyvigil.data.read import Reading
    from polyvigil.evaluation.leave_out import LeftOut
    from polyvigil.evaluation.measure import Measured
    from polyvigil.report.report import Report

_MOST_ERRORS = 20  # report.mistakes.MOST, which help must not import

MeasuredPaths = Annotated[
    list[str],
    typer.Argument(
        metavar="[BUNDLE] [FILE]",
        help="A bundle and a labelled file; the bundle alone: its stored dev scores; a gold file alone with "
        "--predictions.",
    ),
    OrOnHub,
]
Budget = Annotated[
    list[int] | None, typer.Option(min=1, help="Posts that can be read: the recall they reach. Repeatable.")
]
Prevalence = Annotated[
    float | None, typer.Option(help="Share of ADEs where it will be used: the precision to expect there.")
]
ShowErrors = Annotated[
    int,
    typer.Option(
        "--show-errors", min=0, max=_MOST_ERRORS, help="List so many false positives and negatives of each language."
    ),
]
OlderBundle = Annotated[
    str, typer.Option("--since", metavar="OLD", help="An older bundle: what its thresholds were, and are now."), OrOnHub
]
SliceColumns = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="COLUMN", help="Slice the posts by type, origin or any other column. Repeatable."),
]
Predictions = Annotated[
    str,
    typer.Option(
        "--predictions",
        help="Score this by the task's official metric: an id,predicted_label file, a submission's zip, or what "
        "polyvigil score wrote (a file of any kind, a folder).",
    ),
]
MaskErrors = Annotated[
    bool,
    typer.Option("--mask", help="Mask links, addresses, mentions, dates and numbers of --show-errors; names stay."),
]
DropErrors = Annotated[
    bool, typer.Option("--drop-text", help="Of --show-errors: leave the text of the posts out; ids and P stay.")
]
LeaveOneOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-language-out", help="Play each language as one without labels: what its threshold would cost."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReportOptions:
    """What is asked of an evaluation beside its posts; ``output`` is None where no report is written."""

    output: Path | None
    budgets: Sequence[int]
    prevalence: float | None
    older: str
    show_errors: int
    form: TextForm = "whole"
    slice_columns: Sequence[str] = ()
    table: TableFormat | None = None
    replace: bool = False
    device: str = "auto"


@command(
    examples=(
        "polyvigil evaluate BUNDLE test.csv --by type -o report",
        "polyvigil evaluate --predictions predictions.csv gold.csv -o scores.json",
    ),
    explains=("same set", "cross-fitted", "p", "p_calibrated", "threshold_source", "flags"),
)
def evaluate(
    out: Output,
    paths: MeasuredPaths,
    predictions: Predictions = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for report.html, report.json, evaluation.json; or the file of scores.json."
        ),
    ] = None,
    leave_one_out: LeaveOneOut = False,
    older: OlderBundle = "",
    show_errors: ShowErrors = 0,
    mask: MaskErrors = False,
    drop_text: DropErrors = False,
    budget: Budget = None,
    prevalence: Prevalence = None,
    slice_columns: SliceColumns = None,
    table: PaperFormat = None,
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
    ask_endpoint: AskEndpoint = False,
) -> Answer:
    """Measure a bundle on labelled posts it has not seen; or a predictions file by the official score.

    Of a bundle alone, the scores of its dev posts that it holds are measured; -o writes a report in each case.
    """
    options = _ReportOptions(
        output=output,
        budgets=budget or (),
        prevalence=prevalence,
        older=older,
        show_errors=show_errors,
        form=text_form(mask=mask, drop_text=drop_text),
        slice_columns=slice_columns or (),
        table=table,
        replace=replace,
        device=device,
    )
    check_table(out, table)
    _check_options(options, paths, predictions=bool(predictions), leave_one_out=leave_one_out)
    if predictions:
        return _official(predictions, paths[0], output, posts, replace=replace)
    _check_output(options, *paths)
    if len(paths) == 1:
        return _evaluate_dev(out, paths[0], options)
    from polyvigil.bundle.store import load

    bundle = load(paths[0], device=device, permission=endpoint_permission(ask_endpoint))
    reading = _read(out, paths[0], paths[1], posts, keep_cells=bool(options.slice_columns))
    if leave_one_out:
        return _leave_one_out(out, bundle, reading)
    return _evaluation_answer(out, _measure(out, bundle, paths[0], reading, options, posts), bundle, options)


@command(examples=("polyvigil report BUNDLE", "polyvigil report BUNDLE test.csv -o report --since OLD"))
def report(
    out: Output,
    folder: BundleFolder,
    file: Annotated[
        str, typer.Argument(help="Labelled posts that it was not trained on; without, its stored dev scores.")
    ] = "",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.html, report.json and evaluation.json.")
    ] = Path("report"),
    older: OlderBundle = "",
    show_errors: ShowErrors = 0,
    mask: MaskErrors = False,
    drop_text: DropErrors = False,
    budget: Budget = None,
    prevalence: Prevalence = None,
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Write the report of a bundle; without a file the same as evaluate BUNDLE -o report."""
    from polyvigil.bundle.store import load

    _check_prevalence(prevalence)
    options = _ReportOptions(
        output=output,
        budgets=budget or (),
        prevalence=prevalence,
        older=older,
        show_errors=show_errors,
        form=text_form(mask=mask, drop_text=drop_text),
        replace=replace,
        device=device,
    )
    _check_mask(options)
    _check_output(options, folder, file)
    if not file:
        return _evaluate_dev(out, folder, options)
    bundle = load(folder, device=device)
    reading = _read(out, folder, file, posts, keep_cells=bool(options.slice_columns))
    return _report_answer(out, _measure(out, bundle, folder, reading, options, posts), bundle, options)


def _check_output(options: _ReportOptions, *inputs: str) -> None:
    """Raises DataError where the report may not be written, before anything is scored."""
    if not options.output:
        return
    from polyvigil.bundle.outputs import check_output
    from polyvigil.report.render import REPORT

    check_output(options.output, REPORT, replace=options.replace, inputs=[*inputs, options.older])


def _read(out: Output, folder: str, file: str, posts: PostsInput, *, keep_cells: bool) -> Reading:
    """The labelled posts to measure on. Raises DataError, which says what to do with posts without labels.

    Rows without a label are a caution of the evaluation (evaluation.measure), so no note is made of them here.
    """
    from polyvigil.data.read import NO_LABEL

    hint = _unlabelled_hint(folder, file)
    reading = posts.read_labelled(file, bundle=folder, unlabelled_hint=hint, keep_cells=keep_cells)
    out.notes(note for note in reading.notes if NO_LABEL not in note)
    return reading


def _measure(
    out: Output, bundle: Bundle, folder: str, reading: Reading, options: _ReportOptions, posts: PostsInput
) -> Measured:
    """Score and measure the posts that were read."""
    from polyvigil.evaluation.columns import columns_to_slice
    from polyvigil.evaluation.measure import cross_fitted_dev, measured

    columns = columns_to_slice(
        reading, options.slice_columns, posts.spec(bundle=folder)
    )  # first: a wrong name costs no time
    out.log(f"scoring {len(reading.posts):,} posts")
    result = measured(
        bundle,
        reading,
        budgets=options.budgets,
        prevalence=options.prevalence,
        columns=columns,
        dev=cross_fitted_dev(bundle, folder),
    )
    report_judge_usage(out, bundle.usage, endpoint_skipped=bundle.has_endpoint)
    return result


def _evaluate_dev(out: Output, folder: str, options: _ReportOptions) -> Answer:
    """Measure the dev scores that the bundle holds; the answer is the report where one is written."""
    from polyvigil.bundle.store import load
    from polyvigil.evaluation.measure import measured_on_dev

    bundle = load(folder, device=options.device)
    out.log(f"reading the stored scores of {len(bundle.dev.labels):,} dev posts")
    result = measured_on_dev(bundle, budgets=options.budgets, prevalence=options.prevalence)
    answer = _report_answer if options.output and not options.table else _evaluation_answer
    return answer(out, result, bundle, options)


def _evaluation_answer(out: Output, result: Measured, bundle: Bundle, options: _ReportOptions) -> Answer:
    """The evaluation as tables; a report beside it where one was asked for."""
    from polyvigil.cli.views.evaluation import dev_lines, evaluation_lines, slice_lines, workload_lines
    from polyvigil.cli.views.paper import evaluation_table, table_answer

    evaluation = result.evaluation
    lines = [*evaluation_lines(evaluation), *dev_lines(evaluation), *slice_lines(evaluation)]
    lines += workload_lines(evaluation.workload)
    if options.output:
        lines += _write_report(out, result, bundle, options)[1]
    return table_answer(out, Answer(evaluation, lines), [evaluation_table(evaluation)], options.table)


def _report_answer(out: Output, result: Measured, bundle: Bundle, options: _ReportOptions) -> Answer:
    """The report itself, for people its verdict and why."""
    made, lines = _write_report(out, result, bundle, options)
    findings = [f"{finding.level}: {finding.sentence}" for finding in made.verdict.findings]
    advice = [f"{finding.level}: {finding.sentence}" for finding in made.advice]
    return Answer(made, [f"verdict: {made.verdict.level}", *findings, "", "what to do", "", *advice, *lines])


def _write_report(out: Output, result: Measured, bundle: Bundle, options: _ReportOptions) -> tuple[Report, list[str]]:
    """Write the report to ``options.output``; return it, and lines that say where it is."""
    from polyvigil.bundle.store import load
    from polyvigil.report.chart_data import PII_WARNING
    from polyvigil.report.render import write_report
    from polyvigil.report.report import report_of

    assert options.output is not None
    older = load(options.older, device=options.device) if options.older else None
    made = report_of(
        result,
        bundle,
        command=out.command_line,
        older=older,
        show_errors=options.show_errors,
        form=options.form,
    )
    path = write_report(made, options.output, replace=options.replace)
    if made.mistakes and made.has_text:
        out.warn(f"{path}: {PII_WARNING}")
    return made, ["", f"report: {path} ({path.stat().st_size / 1000:,.0f} kB)"]


def _leave_one_out(out: Output, bundle: Bundle, reading: Reading) -> Answer:
    from polyvigil.evaluation.measure import left_out, unlabelled_rows

    out.log(f"scoring {len(reading.posts):,} posts")
    parts = left_out(bundle, reading)
    out.notes(unlabelled_rows(reading))
    report_judge_usage(out, bundle.usage, endpoint_skipped=bundle.has_endpoint)
    return Answer({"left_out": [part.model_dump(mode="json") for part in parts]}, left_out_lines(parts))


def _official(predictions: str, gold: str, output: Path | None, posts: PostsInput, *, replace: bool) -> Answer:
    """The official score of a file of predictions."""
    import json

    from polyvigil.bundle.outputs import check_output
    from polyvigil.data.atomic import write_whole
    from polyvigil.data.read import read_labelled
    from polyvigil.evaluation.official import SCORES, official_scores, read_predictions

    if output:
        check_output(output, SCORES, replace=replace, inputs=[predictions, gold])
    hint = _unlabelled_hint("BUNDLE", gold)
    spec = posts.spec()
    reading = read_labelled(
        gold, spec, split=posts.split, unlabelled_hint=hint, keep_cells=False
    )  # _check_gold takes every row
    _check_gold(reading)
    predicted = read_predictions(predictions, id_column=spec.columns.get("id", ""))
    scores = official_scores(reading.posts, predicted, gold_file=reading.name, predictions_file=predictions)
    if output:
        write_whole(output, scores.to_json() + "\n", replace=replace)
    data = json.loads(scores.to_json())
    return Answer(data, [f"{key:<12} {value:.4f}" for key, value in data.items()])


def _check_gold(reading: Reading) -> None:
    """Raises DataError where rows were set aside: the official score is over every row."""
    from polyvigil.data.read import NO_LABEL
    from polyvigil.data.shown import shown_column
    from polyvigil.errors import DataError

    if not reading.row_errors:
        return
    first, rows = reading.row_errors[0], len(reading.posts) + len(reading.row_errors)
    unlabelled = sum(row_error.reason == NO_LABEL for row_error in reading.row_errors)
    what = (
        f"{unlabelled:,} of {rows:,} rows have no label"
        if unlabelled
        else f"{len(reading.row_errors):,} rows are unusable"
    )
    column = f"{shown_column(first.column)}: " if first.column else ""
    raise DataError(
        f"{what}, so there is no official score; the first: {column}{first.reason}",
        where=f"{reading.name}:{first.line}",
        hint="mend these rows, or leave them out of both files; "
        f"polyvigil check {shlex.quote(reading.name)} counts what is wrong with which column",
    )


def _check_options(options: _ReportOptions, paths: Sequence[str], *, predictions: bool, leave_one_out: bool) -> None:
    """Raises a usage error for options of evaluate that do not go together."""
    _check_prevalence(options.prevalence)
    _check_mask(options)
    if (options.older or options.show_errors) and not options.output:
        raise typer.BadParameter("these are parts of the report: give its folder", param_hint="-o FOLDER")
    if options.table and (predictions or leave_one_out):
        raise typer.BadParameter("a table is of a bundle's own metrics", param_hint="--table")
    if options.slice_columns and (predictions or leave_one_out):
        raise typer.BadParameter("slices are of a bundle's own metrics on a file", param_hint="--by")
    if predictions and len(paths) != 1:
        raise typer.BadParameter("with --predictions give one gold file and no bundle", param_hint="FILE")
    if len(paths) > 2:
        raise typer.BadParameter("give a bundle and one file of labelled posts", param_hint="BUNDLE FILE")
    needs_file = "--by" if options.slice_columns else "--leave-one-language-out" if leave_one_out else ""
    if len(paths) == 1 and needs_file:
        raise typer.BadParameter("needs a file of labelled posts", param_hint=needs_file)


def _check_mask(options: _ReportOptions) -> None:
    """Raises a usage error where there is no text to mask or to leave out."""
    if options.form != "whole" and not options.show_errors:
        hint = "--mask" if options.form == "masked" else "--drop-text"
        raise typer.BadParameter("a report has no text but with --show-errors", param_hint=hint)


def _check_prevalence(prevalence: float | None) -> None:
    """Raises a usage error for a share outside (0, 1)."""
    if prevalence is not None and not 0 < prevalence < 1:
        raise typer.BadParameter("a prevalence lies between 0 and 1", param_hint="--prevalence")


def _unlabelled_hint(bundle: str, file: str) -> str:
    """The commands for a file of posts without labels."""
    folder, source = shlex.quote(bundle), shlex.quote(file)
    return (
        f"decide the posts with: polyvigil score {folder} {source} -o scored.csv "
        f"(for the shared task: polyvigil submit {folder} {source} -o submission.zip)"
    )


def left_out_lines(results: Sequence[LeftOut]) -> list[str]:
    """Each language without its labels: F1 of each rule, and what it loses to the best threshold."""
    from polyvigil.cli.views.table import table

    rules = list(results[0].guesses)
    rows = [
        (
            part.language,
            f"{part.positives:,}",
            part.like,
            f"{part.best_f1:.3f}",
            *(f"{guess.f1:.3f} (-{guess.regret:.3f})" for guess in (part.guesses[rule] for rule in rules)),
        )
        for part in results
    ]
    means = {rule: sum(part.guesses[rule].regret for part in results) / len(results) for rule in rules}
    return [
        table(("language", "positives", "most like", "best F1", *rules), rows),
        "",
        "mean regret: " + ", ".join(f"{rule} {regret:.3f}" for rule, regret in means.items()),
        "F1 of a threshold found without the language's labels, and what it loses to the best one on these very posts",
        *(f"{part.language}: {warning}" for part in results for warning in part.warnings),
    ]
