"""``polyvigil card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import BundleFolder, Replace
from polyvigil.cli.output import Answer, Output


@command(examples=("polyvigil card BUNDLE", "polyvigil card BUNDLE -o MODEL_CARD.md"))
def card(
    out: Output,
    folder: BundleFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it there in place of printing.")] = None,
    replace: Replace = False,
) -> Answer:
    """Print the model card of a bundle: what it is for, its metrics, its data, its limits, as Markdown."""
    from polyvigil.bundle import layout, store
    from polyvigil.bundle.outputs import check_output
    from polyvigil.data.atomic import write_whole
    from polyvigil.report.card import CARD

    if output:
        check_output(output, CARD, replace=replace, inputs=[folder])
    store.load(folder, device="cpu")
    text = store.read_document(folder, layout.CARD)
    if output is None:
        return Answer({"card": text}, text.rstrip("\n").split("\n"))
    write_whole(output, text, replace=replace)
    out.log(f"model card -> {output}")
    return Answer({"card": text, "file": str(output)})
