"""``polyvigil review export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Replace
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store


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
    replace: Replace = False,
) -> Answer:
    """Write what was decided, how each post was chosen and the log's head; audited posts have the split test."""
    with opened_store(store) as opened:
        from polyvigil.review.exporting import ExportOptions
        from polyvigil.review.exporting import export as export_store

        options = ExportOptions(format=file_format, labels=labels, raw=raw, language=language)  # type: ignore[arg-type]
        result = export_store(opened, output, options, replace=replace)
    if raw:
        out.note("texts are as they were written; whoever has the file can read who wrote them")
    line = f"{output}: {result.rows:,} rows, {result.audit_rows:,} of the audit (split test), {result.positives:,} ADEs"
    return Answer(result, [line, f"head {result.head} (event {result.head_seq})"])
