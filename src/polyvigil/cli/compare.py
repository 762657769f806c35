"""``polyvigil compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, LabelledPosts
from polyvigil.cli.output import Answer, Output


@command(
    examples=("polyvigil compare OLD NEW test.csv", "polyvigil compare OLD NEW test.csv -o compare.json --json"),
)
def compare(
    out: Output,
    first: Annotated[str, typer.Argument(help="A bundle.")],
    second: Annotated[str, typer.Argument(help="Another; differences are this one's figures less the first's.")],
    file: Annotated[str, typer.Argument(help="Labelled posts that neither was trained on.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write everything as JSON, every flip included.")
    ] = None,
    posts: LabelledPosts = DEFAULT_POSTS,
    device: Device = "auto",
) -> Answer:
    """Say which of two bundles is better on the same posts: paired tests, thresholds, calibration, flips."""
    from polyvigil.bundle.store import load
    from polyvigil.cli.compare_tables import comparison_lines
    from polyvigil.data.atomic import write_whole
    from polyvigil.evaluation.compare import compare as compared

    bundles = load(first, device=device), load(second, device=device)
    reading = posts.read_labelled(file)
    out.notes(reading.notes)
    out.log(f"scoring {len(reading.posts):,} posts with both bundles")
    comparison = compared(*bundles, reading)
    lines = comparison_lines(comparison)
    if output:
        write_whole(output, comparison.model_dump_json(indent=2) + "\n")
        lines.append(f"everything, with all {len(comparison.flips):,} flips: {output}")
    return Answer(comparison.model_dump(mode="json") | {"verdict": comparison.verdict}, lines)
