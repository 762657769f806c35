"""``polyvigil audit data``."""

from __future__ import annotations

from typing import Annotated

import typer

from polyvigil.cli.check import check
from polyvigil.cli.command import command
from polyvigil.cli.options import Columns, Settings, Split
from polyvigil.cli.output import Answer, Output


@command(
    group="audit",
    examples=(
        "polyvigil audit data train.csv dev.csv test.csv",
        "polyvigil audit data posts.jsonl --column text=body --json",
    ),
)
def data(
    out: Output,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Labelled files, looked at one by one and together.")
    ],
    split: Split = "",
    columns: Columns = None,
    settings: Settings = None,
) -> Answer:
    """Look for what would spoil a training or its figures, as check does. Exit 3 when a finding is an error."""
    return check(out, files, split=split, columns=columns, settings=settings, strict=True)
