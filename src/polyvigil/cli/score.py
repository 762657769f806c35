"""``polyvigil score``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from polyvigil.cli.judging import AskEndpoint, FromDisk, asking, tell_of_judge
from polyvigil.cli.options import (
    QUARANTINED,
    Columns,
    Device,
    FailOnQuarantine,
    OnErrorChoice,
    OnErrorOption,
    Settings,
    data_spec,
)
from polyvigil.cli.output import Answer, Output, command


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(
        app,
        examples=(
            "polyvigil score BUNDLE posts.csv -o scored.csv",
            "zcat posts.jsonl.gz | polyvigil score BUNDLE - -o scored.parquet --column text=body",
        ),
    )(score)


def score(
    out: Output,
    bundle: Annotated[str, typer.Argument(help="The bundle's folder.")],
    source: Annotated[
        str, typer.Argument(metavar="IN", help="csv, tsv, jsonl, parquet, also .gz or .zst; - is stdin.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The same kinds of file; - is CSV on stdout.")],
    columns: Columns = None,
    settings: Settings = None,
    on_error: OnErrorChoice = OnErrorOption.quarantine,
    fail_on_quarantine: FailOnQuarantine = False,
    device: Device = "auto",
    raw_csv: Annotated[
        bool, typer.Option("--raw-csv", help="Leave cells that a spreadsheet would run as they are.")
    ] = False,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Add columns: where the sentence is that carries the score of a flag.")
    ] = False,
    ask_endpoint: AskEndpoint = False,
    offline: FromDisk = False,
) -> Answer:
    """Score posts: P(ADE) and a decision for each, in the order of the input, its columns kept."""
    from polyvigil.bundle.store import load
    from polyvigil.score.batch import score_file

    if output == "-" and out.json:
        raise typer.BadParameter("- and --json would both write to stdout", param_hint="-o")
    loaded = load(bundle, device=device, asking=asking(ask_endpoint, offline=offline))
    started = time.monotonic()
    summary = score_file(
        loaded,
        source,
        output,
        spec=data_spec(columns, settings),
        on_error=on_error.value,
        raw_csv=raw_csv,
        evidence=evidence,
        progress=lambda done, aside, share: out.progress("scoring", started, done, aside, share),
    )
    out.end_progress()
    tell_of_judge(out, loaded)
    for note in summary.notes:
        out.note(note)
    if foreign := [tally.language for tally in summary.languages if not tally.trained]:
        out.warn(f"not validated for {', '.join(foreign)}: the bundle was not trained on it; do not rely on its scores")
    seconds = max(time.monotonic() - started, 1e-9)
    lines = [
        f"{summary.posts:,} posts scored in {seconds:,.1f} s, {summary.flagged:,} flagged -> {output}",
        *(
            f"  {t.language:<9} {t.flagged:>8,} of {t.posts:>9,} flagged at {t.threshold:.3f} ({t.threshold_source})"
            for t in summary.languages
        ),
    ]
    if summary.judge:
        asked = summary.judge.judged + summary.judge.failed + summary.judge.not_asked
        near = f"  {asked:,} posts near a threshold ({summary.judge.share:.1%})"
        lines.append(f"{near}, {summary.judge.judged:,} of them decided by the judge")
    if summary.set_aside:
        lines.append(f"{summary.set_aside:,} rows set aside -> {summary.rejects}")
    if output == "-":  # stdout is the data
        for line in lines:
            out.say(line)
        lines = []
    return Answer(summary, lines, QUARANTINED if fail_on_quarantine and summary.set_aside else 0)
