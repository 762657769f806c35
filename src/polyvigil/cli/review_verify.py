"""``polyvigil review verify``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import GATE
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store


@command(
    group="review",
    examples=(
        "polyvigil review verify review.db",
        "polyvigil review verify review.db --head 9f2c... --json",
    ),
)
def verify(
    out: Output,
    store: StoreLocation,
    head: Annotated[
        str, typer.Option("--head", help="A head that an export or a metrics file states: it must be in the log.")
    ] = "",
) -> Answer:
    """Follow the log's chain, replay it, and compare what it says with every decision and task. Exit 3 on a break."""
    from polyvigil.review.verify import n_events
    from polyvigil.review.verify import verify as verify_store

    with opened_store(store) as opened, opened.read() as connection:
        total, started = n_events(connection), time.monotonic()
        result = verify_store(
            connection,
            store=opened.id,
            mac_key=opened.mac_key,
            expected_head=head,
            progress=lambda done: out.count("verifying", started, done, total),
        )
    counts = f"{result.n_events:,} events, {result.n_decisions:,} decisions, {result.n_tasks:,} tasks"
    verdict = "whole" if result.is_whole else f"{result.n_breaks:,} breaks"
    lines = [f"{verdict}: {counts}", f"head {result.head} (event {result.head_seq})", *result.breaks]
    if result.n_breaks > len(result.breaks):
        lines.append(f"... and {result.n_breaks - len(result.breaks):,} more")
    return Answer(result, lines, 0 if result.is_whole else GATE)
