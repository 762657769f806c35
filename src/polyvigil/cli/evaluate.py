"""``polyvigil evaluate``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.judging import AskEndpoint, endpoint_permission, report_judge_usage
from polyvigil.cli.options import Columns, Device, OnErrorChoice, OnErrorOption, Settings, Split, data_spec
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.reporting import (
    Budget,
    OlderBundle,
    Prevalence,
    ReportOptions,
    ShowErrors,
    SliceColumns,
    check_prevalence,
    make,
    unlabelled_hint,
)
from polyvigil.config.specs import DataSpec

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.data.read import Reading


@command(
    examples=(
        "polyvigil evaluate BUNDLE test.csv --by type -o report",
        "polyvigil evaluate --predictions predictions.csv gold.csv -o scores.json",
    ),
)
def evaluate(
    out: Output,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[BUNDLE] FILE", help="A bundle and a labelled file; a gold file alone with --predictions."
        ),
    ],
    predictions: Annotated[
        str, typer.Option("--predictions", help="Score this id,predicted_label file by the task's official metric.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for report.html, report.json, evaluation.json; or the file of scores.json."
        ),
    ] = None,
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-language-out", help="Play each language as one without labels: what its threshold would cost."
        ),
    ] = False,
    older: OlderBundle = "",
    show_errors: ShowErrors = 0,
    budget: Budget = None,
    prevalence: Prevalence = None,
    slice_columns: SliceColumns = None,
    split: Split = "",
    columns: Columns = None,
    settings: Settings = None,
    on_error: OnErrorChoice = OnErrorOption.quarantine,
    device: Device = "auto",
    ask_endpoint: AskEndpoint = False,
) -> Answer:
    """Measure a bundle on labelled posts it has not seen; or a predictions file by the official score."""
    spec = data_spec(columns, settings)
    check_prevalence(prevalence)
    if (older or show_errors) and not output:
        raise typer.BadParameter("these are parts of the report: give its folder", param_hint="-o FOLDER")
    if slice_columns and (predictions or leave_one_out):
        raise typer.BadParameter("slices are of a bundle's own figures on a file", param_hint="--by")
    if predictions:
        if len(paths) != 1:
            raise typer.BadParameter("with --predictions give one gold file and no bundle", param_hint="FILE")
        return _official(predictions, paths[0], output, split, spec)
    if len(paths) != 2:
        raise typer.BadParameter("give a bundle and a file of labelled posts", param_hint="BUNDLE FILE")
    from polyvigil.bundle.store import load
    from polyvigil.data.read import read_labelled

    folder, file = paths
    options = ReportOptions(
        command="evaluate",
        bundle=folder,
        file=file,
        output=output or Path("report"),
        split=split,
        columns=columns or (),
        settings=settings or (),
        budgets=budget or (),
        prevalence=prevalence,
        older=older,
        show_errors=show_errors,
        slice_columns=slice_columns or (),
        device=device,
    )
    bundle = load(folder, device=device, permission=endpoint_permission(ask_endpoint))
    unlabelled = unlabelled_hint(folder, file)
    reading = read_labelled(file, spec, split=split, on_error=on_error.value, unlabelled_hint=unlabelled)
    out.notes(reading.notes)
    if leave_one_out:
        return _leave_one_out(out, bundle, reading)
    return _measure(out, bundle, reading, options, spec=spec, write=output is not None)


def _leave_one_out(out: Output, bundle: Bundle, reading: Reading) -> Answer:
    from polyvigil.cli.tables import left_out_lines
    from polyvigil.evaluation.measure import left_out

    out.log(f"scoring {len(reading.posts):,} posts")
    parts = left_out(bundle, reading)
    report_judge_usage(out, bundle.usage, endpoint_skipped=bundle.has_endpoint)
    return Answer({"left_out": [part.model_dump(mode="json") for part in parts]}, left_out_lines(parts))


def _measure(
    out: Output, bundle: Bundle, reading: Reading, options: ReportOptions, *, spec: DataSpec, write: bool
) -> Answer:
    """Evaluate ``bundle`` on the posts that were read; ``write`` the report too."""
    from polyvigil.cli.evaluation_tables import dev_lines, slice_lines
    from polyvigil.cli.tables import evaluation_lines, workload_lines
    from polyvigil.evaluation.columns import columns_to_slice
    from polyvigil.evaluation.measure import cross_fitted_dev, measured

    columns = columns_to_slice(reading, options.slice_columns, spec)  # before scoring: a wrong name costs no time
    out.log(f"scoring {len(reading.posts):,} posts")
    result = measured(
        bundle,
        reading,
        budgets=options.budgets,
        prevalence=options.prevalence,
        columns=columns,
        dev=cross_fitted_dev(bundle, options.bundle),
    )
    report_judge_usage(out, bundle.usage, endpoint_skipped=bundle.has_endpoint)
    evaluation = result.evaluation
    lines = [*evaluation_lines(evaluation), *dev_lines(evaluation), *slice_lines(evaluation)]
    lines += workload_lines(evaluation.workload)
    if write:
        lines += make(out, result, bundle, options)[1]
    return Answer(evaluation, lines)


def _official(predictions: str, gold: str, output: Path | None, split: str, spec: DataSpec) -> Answer:
    import json

    from polyvigil.data.atomic import write_whole
    from polyvigil.data.read import read_labelled
    from polyvigil.evaluation.official import official_scores, read_predictions

    reading = read_labelled(gold, spec, split=split, unlabelled_hint=unlabelled_hint("BUNDLE", gold))
    _check_gold(reading)
    scores = official_scores(
        reading.posts, read_predictions(predictions), gold_file=reading.name, predictions_file=predictions
    )
    if output:
        write_whole(output, scores.to_json() + "\n")
    data = json.loads(scores.to_json())
    return Answer(data, [f"{key:<12} {value:.4f}" for key, value in data.items()])


def _check_gold(reading: Reading) -> None:
    """Raises DataError where rows were set aside: the official score is over every row."""
    from polyvigil.data.read import NO_LABEL
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
    column = f'column "{first.column}": ' if first.column else ""
    raise DataError(
        f"{what}, so there is no official score; the first: {column}{first.reason}",
        where=f"{reading.name}:{first.line}",
        hint="mend these rows, or leave them out of both files; "
        f"polyvigil check {shlex.quote(reading.name)} counts what is wrong with which column",
    )
