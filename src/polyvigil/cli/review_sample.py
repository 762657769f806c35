"""``polyvigil review sample``."""

from __future__ import annotations

from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store


@command(
    group="review",
    examples=(
        "polyvigil review sample review.db --audit 200",
        "polyvigil review sample review.db --learn 100 --language ja",
    ),
)
def sample(
    _out: Output,
    store: StoreLocation,
    audit: Annotated[
        int | None,
        typer.Option("--audit", min=0, help="Audit up to so many more posts; else a fifth of those of --learn."),
    ] = None,
    learn: Annotated[
        int,
        typer.Option(
            "--learn",
            min=0,
            help="Let so many posts be read, for training: near the threshold, near known ADEs, varied.",
        ),
    ] = 0,
    language: Annotated[str, typer.Option("--language", help="With --learn: only posts of this language.")] = "",
    batch: Annotated[int, typer.Option("--batch", help="Of this file, by its number; else of the newest.")] = 0,
) -> Answer:
    """Choose more posts to read from those that are in a store: for the audit, or for training."""
    with opened_store(store) as opened:
        from polyvigil.review.further import add_further

        result = add_further(opened, audit=audit, learn=learn, language=language, number=batch)
    line = f"batch {result.batch}: {result.audit:,} more posts to audit, {result.learn:,} for training"
    return Answer(result, [line])
