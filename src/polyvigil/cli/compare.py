"""``polyvigil compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, LabelledPosts, Replace
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.views.paper import PaperFormat, check_table

if TYPE_CHECKING:
    from polyvigil.evaluation.compare import Comparison
    from polyvigil.evaluation.paired import Difference, PairedSlice

_SHOWN = 10


@command(
    examples=("polyvigil compare OLD NEW test.csv", "polyvigil compare OLD NEW test.csv -o compare.json --json"),
)
def compare(
    out: Output,
    first: Annotated[str, typer.Argument(help="A bundle.")],
    second: Annotated[str, typer.Argument(help="Another; differences are this one's metrics less the first's.")],
    file: Annotated[str, typer.Argument(help="Labelled posts that neither was trained on.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write everything as JSON, every flip included.")
    ] = None,
    table: PaperFormat = None,
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Say which of two bundles is better on the same posts: paired tests, thresholds, calibration, flips."""
    from polyvigil.bundle.outputs import check_output
    from polyvigil.bundle.store import load
    from polyvigil.cli.views.paper import comparison_table, table_answer
    from polyvigil.data.atomic import write_whole
    from polyvigil.evaluation.compare import COMPARISON
    from polyvigil.evaluation.compare import compare as compared

    check_table(out, table)
    if output:
        check_output(output, COMPARISON, replace=replace, inputs=[first, second, file])
    bundles = load(first, device=device), load(second, device=device)
    reading = posts.read_labelled(file, bundle=second)
    out.notes(reading.notes)
    out.log(f"scoring {len(reading.posts):,} posts with both bundles")
    comparison = compared(*bundles, reading)
    if output:
        write_whole(output, comparison.model_dump_json(indent=2) + "\n", replace=replace)
    answer = Answer(
        comparison.model_dump(mode="json") | {"verdict": comparison.verdict}, comparison_lines(comparison, output)
    )
    return table_answer(out, answer, [comparison_table(comparison)], table)


def comparison_lines(comparison: Comparison, output: Path | None) -> list[str]:
    """Verdict, paired differences, thresholds, calibration, the first flips; the file that holds all of them."""
    from polyvigil.cli.views.bundle import shift_lines
    from polyvigil.cli.views.table import table

    parts = [*comparison.paired.languages, comparison.paired.pooled]
    mended = sum(flip.mended for flip in comparison.flips)
    header = ("id", "language", "label", "p first", "p second", "flagged by")
    flips = [
        (flip.id, flip.language, str(flip.label), f"{flip.first_p:.3f}", f"{flip.second_p:.3f}", flip.flagged_by)
        for flip in comparison.flips[:_SHOWN]
    ]
    return [
        f"{comparison.first} and {comparison.second} on {comparison.data}: {comparison.verdict}",
        "",
        table(
            ("language", "posts", "positives", "F1 first", "second", "difference", "95%", "p", "Holm", "shows", "AP"),
            [_row(part) for part in parts],
        ),
        "",
        "p: approximate randomisation; Holm: corrected over the languages; shows: the least true difference that these",
        "posts show in 80% of cases; AP: difference of average precision with its interval",
        "",
        *shift_lines(comparison.shifts),
        "",
        table(
            ("language", "positives", "mean P first", "second", "ECE first", "second", "Brier first", "second"),
            [
                (
                    part.language,
                    f"{part.prevalence:.1%}",
                    f"{part.first_mean:.1%}",
                    f"{part.second_mean:.1%}",
                    *(f"{side.ece:.3f}" for side in (part.first, part.second)),
                    *(f"{side.brier:.3f}" for side in (part.first, part.second)),
                )
                for part in comparison.calibration
            ],
        ),
        "",
        f"{len(comparison.flips):,} decisions turned: {mended:,} to right, {len(comparison.flips) - mended:,} to wrong",
        *([table(header, flips)] if flips else []),
        *(f"caution: {caution}" for caution in comparison.cautions),
        *([f"everything, with all {len(comparison.flips):,} flips: {output}"] if output else []),
    ]


def _row(part: PairedSlice) -> tuple[str, ...]:
    f1 = part.f1
    return (
        part.name,
        f"{part.posts:,}",
        f"{part.positives:,}",
        f"{f1.second:.3f}",
        f"{f1.first:.3f}",
        f"{f1.difference:+.3f}",
        _interval(f1),
        "" if f1.p_randomisation is None else f"{f1.p_randomisation:.3f}",
        "" if f1.p_holm is None else f"{f1.p_holm:.3f}",
        "" if f1.detectable is None else f"{f1.detectable:.3f}",
        ""
        if part.average_precision is None
        else f"{part.average_precision.difference:+.3f} {_interval(part.average_precision)}",
    )


def _interval(difference: Difference) -> str:
    return f"({difference.low:+.3f} to {difference.high:+.3f})"
