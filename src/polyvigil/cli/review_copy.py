"""``polyvigil review copy``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store


@command(
    group="review",
    examples=(
        "polyvigil review copy review.db backup.db",
        "polyvigil review copy review.db postgresql://ana@db/review",
    ),
)
def copy(
    out: Output,
    store: StoreLocation,
    other: Annotated[str, typer.Argument(help="Where to: a new file, or an empty database of PostgreSQL.")],
) -> Answer:
    """Copy a whole store, to another engine too; links stay valid, whoever is signed in signs in again."""
    with opened_store(store) as source, opened_store(other, create=True) as target:
        from polyvigil.review.copying import copy_store

        started = time.monotonic()
        result = copy_store(source, target, progress=lambda done: out.progress("copying", started, done, 0, None))
        out.end_progress()
    lines = [f"{result.rows['post']:,} posts, {result.rows['task']:,} tasks, {result.rows['event']:,} events copied"]
    return Answer(result, [*lines, f"head {result.head} (event {result.head_seq})"])
