"""``polyvigil review purge``."""

from __future__ import annotations

from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store


@command(
    group="review",
    examples=(
        "polyvigil review purge review.db --older-than 180d --dry-run",
        "polyvigil review purge review.db --older-than 26w",
    ),
)
def purge(
    out: Output,
    store: StoreLocation,
    older_than: Annotated[str, typer.Option("--older-than", help="Posts added longer ago: 180d, 26w, 2y.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be forgotten.")] = False,
) -> Answer:
    """Forget the texts, source ids and notes of old posts; decisions and the log stay, and still verify."""
    with opened_store(store) as opened:
        from polyvigil.review.purging import days_of
        from polyvigil.review.purging import purge as purge_store

        result = purge_store(opened, days=days_of(older_than), dry_run=dry_run)
    if not dry_run:
        out.note("backups and exports are not reached: remove them too")
    verb = "would be" if dry_run else "are"
    lines = [f"{result.posts:,} posts and {result.notes:,} notes from before {result.before[:10]} {verb} forgotten"]
    lines += [f"  {result.closed:,} tasks that nobody had read {verb} closed"] if result.closed else []
    lines += [f"  {result.kept:,} posts are kept: somebody has yet to decide them"] if result.kept else []
    return Answer(result, lines)
