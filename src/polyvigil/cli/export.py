"""``polyvigil export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, GATE, Device, LabelledPosts, OrOnHub, Replace
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.checks.export_gate import ExportComparison
    from polyvigil.workflows.export_common import Exported


class FormOption(StrEnum):
    """What a bundle is exported to."""

    int8 = "int8"
    bf16 = "bf16"
    onnx = "onnx"


@command(
    examples=(
        "polyvigil export BUNDLE dev.csv -o SMALL --to int8",
        "polyvigil export BUNDLE dev.csv -o FAST --to bf16 --device cuda",
    ),
)
def export(
    out: Output,
    bundle: Annotated[str, typer.Argument(help="The bundle; it is not changed."), OrOnHub],
    file: Annotated[
        str, typer.Argument(help="Labelled posts for the gate: the dev posts, or others it was not trained on.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the new bundle, or the ONNX folder, goes.")],
    to: Annotated[
        FormOption,
        typer.Option(
            "--to",
            help="int8: a faster, smaller bundle for CPUs; bf16: for GPUs, and CPUs that have it; "
            "onnx: files for ONNX Runtime.",
        ),
    ],
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Write a bundle's encoders as int8, bf16 or ONNX, if they decide as before on labelled posts. Exit 3 if not."""
    from polyvigil.bundle.outputs import BUNDLE, check_output
    from polyvigil.workflows.export import check_form
    from polyvigil.workflows.export import export as export_bundle

    check_form(to.value, device=device, replace=replace)
    check_output(output, BUNDLE, replace=replace, inputs=[bundle, file])
    reading = posts.read_labelled(file, bundle=bundle)
    out.notes(reading.notes)
    made = export_bundle(
        Path(bundle), reading, form=to.value, output=output, device=device, replace=replace, log=out.log
    )
    return _answer(out, made, to, output)


def _answer(out: Output, made: Exported, to: FormOption, output: Path) -> Answer:
    """What was written, or that the gate said no and nothing was."""
    out.notes((*made.left_out, *made.comparison.cautions))
    passed = made.comparison.passed
    data = {
        "folder": str(output) if passed else None,
        "bundle": made.bundle_id or None,
        "bytes_before": made.bytes_before,
        "bytes_after": made.bytes_after,
        "parity": made.comparison.model_dump(mode="json"),
    }
    size = f"{made.bytes_after / 1e6:,.1f} MB (was {made.bytes_before / 1e6:,.1f})"
    lines = [
        *comparison_lines(made.comparison),
        "",
        f"{to.value} {made.bundle_id} -> {output}, {size}" if passed else "nothing was written",
    ]
    return Answer(data, lines, 0 if passed else GATE)


def comparison_lines(comparison: ExportComparison) -> list[str]:
    """What the export moves, by language, and the gates."""
    from polyvigil.cli.views.audit import gate_lines
    from polyvigil.cli.views.table import table

    rows = [
        (
            part.name,
            f"{part.posts:,}",
            f"{part.positives:,}",
            f"{part.shift:.4f}",
            f"{part.flips:,}",
            f"{part.f1_before:.4f}",
            f"{part.f1_after:.4f}",
            f"{part.lost:+.4f}",
        )
        for part in (*comparison.languages, comparison.pooled)
    ]
    thresholds = "thresholds tuned again on these dev posts" if comparison.retuned else "thresholds as they were"
    return [
        f"bundle {comparison.source} and its export to {comparison.form} on {comparison.data}, {thresholds}",
        table(("language", "posts", "positives", "largest |dP|", "otherwise", "F1 before", "after", "lost"), rows),
        "",
        *gate_lines(comparison.gates, digits=4),
    ]
