"""``polyvigil review export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Replace
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store
from polyvigil.errors import RecipeError


@command(
    group="review",
    examples=(
        "polyvigil review export review.db -o reviewed.parquet",
        "polyvigil review export review.db -o tasks.json --format label-studio --labels none --raw",
    ),
)
def export(
    out: Output,
    store: StoreLocation,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, its manifest beside it.")],
    file_format: Annotated[
        str,
        typer.Option(
            "--format", help="csv, tsv, jsonl, parquet, label-studio, doccano, prodigy, argilla; else by the name."
        ),
    ] = "",
    labels: Annotated[
        str,
        typer.Option(
            "--labels", help="adjudicated: a label for each post that is done; all: each decision; none: what waits."
        ),
    ] = "adjudicated",
    language: Annotated[str, typer.Option("--language", help="Only posts of this language.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Leave links, user names, dates and numbers unmasked.")] = False,
    drop_text: Annotated[
        bool, typer.Option("--drop-text", help="Leave the text of posts out of a table; their ids say which they are.")
    ] = False,
    replace: Replace = False,
) -> Answer:
    """Write what was decided, how each post was chosen and the log's head; audited posts have the split test."""
    with opened_store(store) as opened:
        from polyvigil.review.exporting import ExportOptions
        from polyvigil.review.exporting import export as export_store

        options = ExportOptions(format=file_format, labels=labels, text=_form(raw, drop_text), language=language)  # type: ignore[arg-type]
        result = export_store(opened, output, options, replace=replace)
    if raw:
        out.note("texts are as they were written; whoever has the file can read who wrote them")
    elif drop_text:
        out.note("texts are left out; ids say which posts these are")
    line = f"{output}: {result.rows:,} rows, {result.audit_rows:,} of the audit (split test), {result.positives:,} ADEs"
    return Answer(result, [line, f"head {result.head} (event {result.head_seq})"])


def _form(raw: bool, drop_text: bool) -> Literal["whole", "masked", "dropped"]:
    """What becomes of the text: it is masked where nothing is said. Raises RecipeError for both options."""
    if raw and drop_text:
        raise RecipeError("the text is as it was written or left out", where="--raw", hint="leave one of the two out")
    return "whole" if raw else "dropped" if drop_text else "masked"
