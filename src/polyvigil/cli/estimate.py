"""``polyvigil estimate``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Posts
from polyvigil.cli.output import Answer, Output


@command(
    examples=(
        "polyvigil estimate scored.csv --reviewed worklist.csv",
        "polyvigil estimate mon.csv tue.csv --reviewed mon.list.csv --reviewed tue.list.csv --looks 10",
    ),
)
def estimate(
    out: Output,
    scored: Annotated[
        list[str],
        typer.Argument(metavar="SCORED...", help="The outputs of polyvigil score that the worklists were made of."),
    ],
    reviewed: Annotated[
        list[str],
        typer.Option("--reviewed", help="A worklist with labels. Repeatable: of several days, or parts of one."),
    ],
    looks: Annotated[
        int, typer.Option("--looks", min=1, help="How often the estimate is looked at while the audit grows.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated posterior.")] = 0,
    posts: Posts = DEFAULT_POSTS,
) -> Answer:
    """Say what reading a worklist found, and what was missed: counted, estimated with intervals, or refused.

    Precision of what was read is a count. Recall, F1 and missed ADEs come from the audited posts of the worklist; where
    these cannot carry a value, one sentence says why. With --looks 10 all ten intervals hold together in 95%.
    """
    from polyvigil.cli.views.estimate import estimate_lines
    from polyvigil.review.estimating import ReviewEstimate, estimate_languages
    from polyvigil.review.reviewed import read_reviewed, reviewed_languages
    from polyvigil.review.scored_posts import read_scored

    spec, started = posts.spec(), time.monotonic()
    rows = read_reviewed(reviewed, spec)
    scored_posts = read_scored(
        scored, spec, progress=lambda done, aside, share: out.progress("reading", started, done, aside, share)
    )
    out.end_progress()
    languages, pooled = estimate_languages(reviewed_languages(scored_posts, rows), looks=looks, seed=seed)
    result = ReviewEstimate(
        scored=tuple(file.path for file in scored_posts.files),
        reviewed=tuple(reviewed),
        looks=looks,
        languages=languages,
        pooled=pooled,
    )
    return Answer(result, estimate_lines(result))
