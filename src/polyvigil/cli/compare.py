"""``polyvigil compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, GATE, Device, LabelledPosts, OrOnHub, Replace
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.views.paper import PaperFormat, check_table, comparison_table, table_answer

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.data.read import Reading
    from polyvigil.evaluation.compare import Comparison
    from polyvigil.evaluation.paired import Difference, PairedSlice
    from polyvigil.types import Post

_SHOWN = 10


@command(
    examples=("polyvigil compare OLD NEW test.csv", "polyvigil compare OLD NEW reviewed.csv --gate"),
)
def compare(
    out: Output,
    first: Annotated[str, typer.Argument(help="A bundle."), OrOnHub],
    second: Annotated[
        str, typer.Argument(help="Another; differences are this one's metrics less the first's."), OrOnHub
    ],
    file: Annotated[
        str,
        typer.Argument(
            help="Labelled posts that neither was trained on; or a whole reviewed worklist, or review export."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write everything as JSON, every flip included.")
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate", help="May the second replace the first? Exit 3 unless it is not worse, and flags about as much."
        ),
    ] = False,
    margin: Annotated[float | None, typer.Option("--margin", help="F1 that the second may lose; else 0.05.")] = None,
    rates: Annotated[
        str, typer.Option("--rates", help="With --gate: compare flag rates on these posts, labelled or not.")
    ] = "",
    table: PaperFormat = None,
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Say which of two bundles is better on the same posts: paired tests, thresholds, calibration, flips.

    With --gate reviewed posts (a whole worklist, or what review export writes) count by the chance with which each was
    chosen, and those that either bundle was made from are left out.
    """
    from polyvigil.bundle.outputs import check_output
    from polyvigil.bundle.store import load
    from polyvigil.checks.replacement_gate import REPLACEMENT
    from polyvigil.evaluation.compare import COMPARISON

    _check_gate_options(gate=gate, margin=margin, rates=rates, table=bool(table))
    check_table(out, table)
    if output:
        check_output(output, REPLACEMENT if gate else COMPARISON, replace=replace, inputs=[first, second, file, rates])
    bundles = load(first, device=device), load(second, device=device)
    reading = posts.read_labelled(file, bundle=second)
    out.notes(reading.notes)
    out.log(f"scoring {len(reading.posts):,} posts with both bundles")
    if gate:
        rate_posts = posts.read_unlabelled(rates).posts if rates else ()
        return _gate_answer(bundles, reading, rate_posts, margin=margin, output=output, replace=replace)
    comparison, answer = _paired_answer(bundles, reading, output=output, replace=replace)
    return table_answer(out, answer, [comparison_table(comparison)], table)


def _paired_answer(
    bundles: tuple[Bundle, Bundle], reading: Reading, *, output: Path | None, replace: bool
) -> tuple[Comparison, Answer]:
    """The paired comparison, which ``output`` gets whole."""
    from polyvigil.data.atomic import write_whole
    from polyvigil.evaluation.compare import compare as compared

    comparison = compared(*bundles, reading)
    if output:
        write_whole(output, comparison.model_dump_json(indent=2) + "\n", replace=replace)
    document = comparison.model_dump(mode="json") | {"verdict": comparison.verdict}
    return comparison, Answer(document, comparison_lines(comparison, output))


def _gate_answer(
    bundles: tuple[Bundle, Bundle],
    reading: Reading,
    rate_posts: Sequence[Post],
    *,
    margin: float | None,
    output: Path | None,
    replace: bool,
) -> Answer:
    """Whether the second bundle may replace the first."""
    from polyvigil.checks.replacement_gate import MARGIN, compare_for_replacement
    from polyvigil.cli.views.replacement import replacement_lines
    from polyvigil.data.atomic import write_whole

    margin = MARGIN if margin is None else margin
    result = compare_for_replacement(*bundles, reading, margin=margin, rate_posts=rate_posts)
    if output:
        write_whole(output, result.model_dump_json(indent=2) + "\n", replace=replace)
    document = result.model_dump(mode="json") | {"holds": result.holds}
    return Answer(document, replacement_lines(result), 0 if result.holds else GATE)


def _check_gate_options(*, gate: bool, margin: float | None, rates: str, table: bool) -> None:
    """Raise BadParameter for options that do not go together, and for a margin that is none."""
    if (margin is not None or rates) and not gate:
        raise typer.BadParameter("give it with --gate", param_hint="--rates" if rates else "--margin")
    if margin is not None and not 0 < margin < 1:
        raise typer.BadParameter(f"{margin} is not between 0 and 1", param_hint="--margin")
    if gate and table:
        raise typer.BadParameter("goes without --gate", param_hint="--table")


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
