"""``polyvigil evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.judging import AskEndpoint, asking, tell_of_judge
from polyvigil.cli.options import Columns, Device, OnErrorChoice, OnErrorOption, Settings, Split, data_spec
from polyvigil.cli.output import Answer, Output, command
from polyvigil.cli.reporting import Budget, Prevalence, ShowErrors, Since, Wish, check_prevalence, make
from polyvigil.specs import DataSpec


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(
        app,
        examples=(
            "polyvigil evaluate BUNDLE test.csv -o report",
            "polyvigil evaluate --predictions predictions.csv gold.csv -o scores.json",
        ),
    )(evaluate)


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
    since: Since = "",
    show_errors: ShowErrors = 0,
    budget: Budget = None,
    prevalence: Prevalence = None,
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
    if (since or show_errors) and not output:
        raise typer.BadParameter("these are parts of the report: give its folder", param_hint="-o FOLDER")
    if predictions:
        if len(paths) != 1:
            raise typer.BadParameter("with --predictions give one gold file and no bundle", param_hint="FILE")
        return _official(predictions, paths[0], output, split, spec)
    if len(paths) != 2:
        raise typer.BadParameter("give a bundle and a file of labelled posts", param_hint="BUNDLE FILE")
    from polyvigil.assess.measure import left_out, measured
    from polyvigil.bundle.store import load
    from polyvigil.cli.tables import evaluation_lines, left_out_lines, workload_lines
    from polyvigil.data.read import read_labelled

    folder, file = paths
    bundle = load(folder, device=device, asking=asking(ask_endpoint))
    reading = read_labelled(file, spec, split=split, on_error=on_error.value)
    out.notes(reading.notes)
    out.say(f"scoring {len(reading.posts):,} posts")
    if leave_one_out:
        told = left_out(bundle, reading)
        tell_of_judge(out, bundle.usage, not_asked=bundle.has_endpoint)
        return Answer({"left_out": [part.model_dump(mode="json") for part in told]}, left_out_lines(told))
    all_told = measured(bundle, reading, budgets=budget or (), prevalence=prevalence)
    tell_of_judge(out, bundle.usage, not_asked=bundle.has_endpoint)
    evaluation = all_told.evaluation
    lines = evaluation_lines(evaluation) + workload_lines(evaluation.workload)
    if output:
        wish = Wish(
            command="evaluate",
            bundle=folder,
            file=file,
            output=output,
            split=split,
            columns=columns or (),
            settings=settings or (),
            budgets=budget or (),
            prevalence=prevalence,
            since=since,
            show_errors=show_errors,
            device=device,
        )
        lines += make(out, all_told, bundle, wish)[1]
    return Answer(evaluation, lines)


def _official(predictions: str, gold: str, output: Path | None, split: str, spec: DataSpec) -> Answer:
    import json

    from polyvigil.assess.official import official_scores, read_predictions
    from polyvigil.data.atomic import write_whole
    from polyvigil.data.read import read_labelled

    reading = read_labelled(gold, spec, split=split, on_error="fail")
    scores = official_scores(reading.posts, read_predictions(predictions))
    if output:
        write_whole(output, scores.to_json() + "\n")
    data = json.loads(scores.to_json())
    return Answer(data, [f"{key:<12} {value:.4f}" for key, value in data.items()])
