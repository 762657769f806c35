"""``polyvigil compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, GATE, Device, LabelledPosts, OrOnHub, Replace, text_form
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.views.paper import PaperFormat, check_table, comparison_table, several_table, table_answer

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.cli.views.paper import PaperTable
    from polyvigil.config.score import TextForm
    from polyvigil.data.read import Reading
    from polyvigil.evaluation.compare import Comparison, Flip
    from polyvigil.evaluation.paired import Difference, PairedSlice
    from polyvigil.types import Post

_SHOWN = 10

ComparedPaths = Annotated[
    list[str],
    typer.Argument(
        metavar="FIRST OTHER... FILE",
        show_default=False,
        help="Bundles, of which each further one is compared with the first; then labelled posts that none of them "
        "was trained on, with --gate a whole reviewed worklist or review export.",
    ),
    OrOnHub,
]
ReplacementGate = Annotated[
    bool,
    typer.Option(
        "--gate", help="May the second replace the first? Exit 3 unless it is not worse, and flags about as much."
    ),
]
Turned = Annotated[
    Path | None,
    typer.Option("--turned", help="Write the posts that are decided otherwise, with their text, as JSON Lines."),
]
MaskTurned = Annotated[
    bool,
    typer.Option("--mask", help="In --turned: mask links, addresses, mentions, dates and numbers; names stay."),
]
DropTurned = Annotated[bool, typer.Option("--drop-text", help="In --turned: leave the text of the posts out.")]


@command(
    examples=(
        "polyvigil compare BASELINE A B C test.csv --table latex",
        "polyvigil compare OLD NEW reviewed.csv --gate",
    ),
)
def compare(
    out: Output,
    paths: ComparedPaths,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write everything as JSON, every flip included.")
    ] = None,
    gate: ReplacementGate = False,
    margin: Annotated[float | None, typer.Option("--margin", help="F1 that the second may lose; else 0.05.")] = None,
    rates: Annotated[
        str, typer.Option("--rates", help="With --gate: compare flag rates on these posts, labelled or not.")
    ] = "",
    turned: Turned = None,
    mask: MaskTurned = False,
    drop_text: DropTurned = False,
    table: PaperFormat = None,
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Say which of two bundles is better on the same posts: paired tests, thresholds, calibration, flips.

    Of more than two each is compared with the first, and p-values are corrected by Holm over all of them.

    With --gate reviewed posts (a whole worklist, or what review export writes) count by the chance with which each was
    chosen, and those that either bundle was made from are left out.
    """
    from polyvigil.bundle.store import load

    *folders, file = paths
    form = text_form(mask=mask, drop_text=drop_text)
    _check_options(folders, gate=gate, margin=margin, rates=rates, table=bool(table), turned=turned, form=form)
    check_table(out, table)
    _check_outputs(output, turned, gate=gate, n_bundles=len(folders), replace=replace, inputs=[*paths, rates])
    bundles = [load(folder, device=device) for folder in folders]
    reading = posts.read_labelled(file, bundle=folders[1])
    out.notes(reading.notes)
    out.log(f"scoring {len(reading.posts):,} posts with {'both' if len(bundles) == 2 else len(bundles)} bundles")
    if gate:
        rate_posts = posts.read_unlabelled(rates).posts if rates else ()
        return _gate_answer(
            (bundles[0], bundles[1]), reading, rate_posts, margin=margin, output=output, replace=replace
        )
    written = _Written(output, turned, form=form, replace=replace)
    if len(bundles) == 2:
        answer, tables = _paired_answer((bundles[0], bundles[1]), reading, written)
    else:
        answer, tables = _several_answer(bundles, folders, reading, written)
    if turned and not drop_text:
        out.warn(f"{turned} holds {'masked ' if mask else ''}text of posts; keep it as you keep the posts")
    elif turned:
        out.note(f"{turned} holds no text of posts; their ids say which they are")
    return table_answer(out, answer, tables, table)


@dataclass(frozen=True, slots=True)
class _Written:
    """Where the whole comparison goes, and where its turned decisions with their texts."""

    output: Path | None
    turned: Path | None
    form: TextForm
    replace: bool

    def write(self, document: str, flips: Mapping[str, Sequence[Flip]], reading: Reading) -> None:
        """Write what is to be written; ``flips`` by the id of the bundle."""
        from polyvigil.data.atomic import write_whole
        from polyvigil.evaluation.compare import turned_lines

        if self.turned:
            lines = [line for bundle, some in flips.items() for line in turned_lines(bundle, some, reading, self.form)]
            write_whole(self.turned, "".join(lines), replace=self.replace)
        if self.output:
            write_whole(self.output, document + "\n", replace=self.replace)


def _check_outputs(
    output: Path | None, turned: Path | None, *, gate: bool, n_bundles: int, replace: bool, inputs: Sequence[str]
) -> None:
    """Raises DataError where one of them may not be written, before anything is scored."""
    from polyvigil.bundle.outputs import check_output
    from polyvigil.checks.replacement_gate import REPLACEMENT
    from polyvigil.errors import DataError
    from polyvigil.evaluation.compare import COMPARISON, SEVERAL, TURNED

    if output:
        kind = REPLACEMENT if gate else COMPARISON if n_bundles == 2 else SEVERAL
        check_output(output, kind, replace=replace, inputs=inputs)
    if turned:
        if output and output.resolve() == turned.resolve():
            raise DataError("is the file of --output too", where=f"--turned {turned}", hint="name another file")
        check_output(turned, TURNED, replace=replace, inputs=inputs)


def _paired_answer(
    bundles: tuple[Bundle, Bundle], reading: Reading, written: _Written
) -> tuple[Answer, list[PaperTable]]:
    """The paired comparison, which the output gets whole, and its table."""
    from polyvigil.evaluation.compare import compare as compared

    comparison = compared(*bundles, reading)
    written.write(comparison.model_dump_json(indent=2), {comparison.second: comparison.flips}, reading)
    document = comparison.model_dump(mode="json") | {"verdict": comparison.verdict}
    return Answer(document, comparison_lines(comparison, written.output)), [comparison_table(comparison)]


def _several_answer(
    bundles: Sequence[Bundle], folders: Sequence[str], reading: Reading, written: _Written
) -> tuple[Answer, list[PaperTable]]:
    """Each bundle against the first one, and the tables of it."""
    from polyvigil.cli.views.paper import plain_lines
    from polyvigil.evaluation.compare import compare_several

    comparison = compare_several(bundles, reading)
    flips = {compared.bundle: compared.flips for compared in comparison.bundles}
    written.write(comparison.model_dump_json(indent=2), flips, reading)
    names = [Path(folder).name for folder in folders]
    names = names if len({*names}) == len(names) else list(folders)
    table = several_table(comparison, names)
    lines = [
        *plain_lines(table),
        "",
        *(
            f"{name}: {one.verdict}; {len(one.flips):,} decisions turned, {one.mended:,} to right"
            for name, one in zip(names[1:], comparison.bundles, strict=True)
        ),
    ]
    lines += [f"caution: {caution}" for caution in comparison.cautions]
    lines += [f"everything, with all flips: {written.output}"] if written.output else []
    return Answer(comparison, lines), [table]


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


def _check_options(
    folders: Sequence[str],
    *,
    gate: bool,
    margin: float | None,
    rates: str,
    table: bool,
    turned: Path | None,
    form: TextForm,
) -> None:
    """Raise BadParameter for options that do not go together, and for a margin that is none."""
    from polyvigil.evaluation.compare import MOST_BUNDLES

    if not 2 <= len(folders) <= MOST_BUNDLES:
        raise typer.BadParameter(f"give two to {MOST_BUNDLES} bundles, and a file", param_hint="FIRST OTHER... FILE")
    if (margin is not None or rates) and not gate:
        raise typer.BadParameter("give it with --gate", param_hint="--rates" if rates else "--margin")
    if margin is not None and not 0 < margin < 1:
        raise typer.BadParameter(f"{margin} is not between 0 and 1", param_hint="--margin")
    if gate and (table or turned or len(folders) > 2):
        hint = "--table" if table else "--turned" if turned else "--gate"
        raise typer.BadParameter("--gate is for two bundles, without --table and --turned", param_hint=hint)
    if form != "whole" and not turned:
        hint = "--mask" if form == "masked" else "--drop-text"
        raise typer.BadParameter("only --turned has text of posts", param_hint=hint)


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
