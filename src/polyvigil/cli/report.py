"""``polyvigil report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Columns, Device, OnErrorChoice, OnErrorOption, Settings, Split, data_spec
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.reporting import (
    Budget,
    OlderBundle,
    Prevalence,
    ReportOptions,
    ShowErrors,
    check_prevalence,
    make,
    unlabelled_hint,
)


@command(examples=("polyvigil report BUNDLE", "polyvigil report BUNDLE test.csv -o report --since OLD"))
def report(
    out: Output,
    folder: Annotated[str, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")],
    file: Annotated[
        str, typer.Argument(help="Labelled posts that it was not trained on; without, its stored dev scores.")
    ] = "",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report.html, report.json and evaluation.json.")
    ] = Path("report"),
    older: OlderBundle = "",
    show_errors: ShowErrors = 0,
    budget: Budget = None,
    prevalence: Prevalence = None,
    split: Split = "",
    columns: Columns = None,
    settings: Settings = None,
    on_error: OnErrorChoice = OnErrorOption.quarantine,
    device: Device = "auto",
) -> Answer:
    """Write the report of a bundle: on a file of labelled posts, or on the dev posts by the scores it holds."""
    from polyvigil.bundle.store import load
    from polyvigil.data.read import read_labelled
    from polyvigil.evaluation.measure import cross_fitted_dev, measured, measured_on_dev

    check_prevalence(prevalence)
    spec = data_spec(columns, settings)
    bundle = load(folder, device=device)
    if file:
        unlabelled = unlabelled_hint(folder, file)
        reading = read_labelled(file, spec, split=split, on_error=on_error.value, unlabelled_hint=unlabelled)
        out.notes(reading.notes)
        out.log(f"scoring {len(reading.posts):,} posts")
        dev = cross_fitted_dev(bundle, folder)
        result = measured(bundle, reading, budgets=budget or (), prevalence=prevalence, dev=dev)
    else:
        out.log(f"reading the stored scores of {len(bundle.dev.labels):,} dev posts")
        result = measured_on_dev(bundle, budgets=budget or (), prevalence=prevalence)
    options = ReportOptions(
        command="report",
        bundle=folder,
        file=file,
        output=output,
        split=split,
        columns=columns or (),
        settings=settings or (),
        budgets=budget or (),
        prevalence=prevalence,
        older=older,
        show_errors=show_errors,
        device=device,
    )
    made, lines = make(out, result, bundle, options)
    findings = [f"{finding.level}: {finding.sentence}" for finding in made.verdict.findings]
    return Answer(made, [f"verdict: {made.verdict.level}", *findings, *lines])
