"""``polyvigil evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.options import Columns, Device, OnErrorChoice, OnErrorOption, Settings, Split, data_spec
from polyvigil.cli.output import Answer, Output, command
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
            "--output", "-o", help="Folder for report.html and evaluation.json; with --predictions, scores.json."
        ),
    ] = None,
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-language-out", help="Play each language as one without labels: what its threshold would cost."
        ),
    ] = False,
    budget: Annotated[
        list[int] | None, typer.Option(min=1, help="Posts that can be read: the recall they reach. Repeatable.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of ADEs where it will be used: the precision to expect there.")
    ] = None,
    split: Split = "",
    columns: Columns = None,
    settings: Settings = None,
    on_error: OnErrorChoice = OnErrorOption.quarantine,
    device: Device = "auto",
) -> Answer:
    """Measure a bundle on labelled posts it has not seen; or a predictions file by the official score."""
    spec = data_spec(columns, settings)
    if prevalence is not None and not 0 < prevalence < 1:
        raise typer.BadParameter("a prevalence lies between 0 and 1", param_hint="--prevalence")
    if predictions:
        if len(paths) != 1:
            raise typer.BadParameter("with --predictions give one gold file and no bundle", param_hint="FILE")
        return _official(predictions, paths[0], output, split, spec)
    if len(paths) != 2:
        raise typer.BadParameter("give a bundle and a file of labelled posts", param_hint="BUNDLE FILE")
    from polyvigil.assess.measure import left_out, measure, write_report
    from polyvigil.bundle.store import load
    from polyvigil.cli.tables import evaluation_lines, left_out_lines, workload_lines
    from polyvigil.data.read import read_labelled

    folder, file = paths
    bundle = load(folder, device=device)
    reading = read_labelled(file, spec, split=split, on_error=on_error.value)
    for note in reading.notes:
        out.note(note)
    out.say(f"scoring {len(reading.posts):,} posts")
    if leave_one_out:
        told = left_out(bundle, reading)
        return Answer({"left_out": [part.model_dump(mode="json") for part in told]}, left_out_lines(told))
    evaluation = measure(bundle, reading, budgets=budget or (), prevalence=prevalence)
    lines = evaluation_lines(evaluation) + workload_lines(evaluation.workload)
    if output:
        command_line = f"polyvigil evaluate {folder} {file}" + (f" --split {split}" if split else "") + f" -o {output}"
        report = write_report(evaluation, bundle, output, command=command_line)
        lines += ["", f"report: {report}"]
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
