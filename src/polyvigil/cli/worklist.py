"""``polyvigil worklist``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.named import named_values, prevalences
from polyvigil.cli.options import DEFAULT_POSTS, Device, OrOnHub, PostPrevalence, Posts, PostsInput, Replace
from polyvigil.cli.output import Answer, Output
from polyvigil.errors import RecipeError, name_list

if TYPE_CHECKING:
    from polyvigil.config.data import DataSpec
    from polyvigil.review.worklist import WorklistOptions, WorklistSummary


@command(
    examples=(
        "polyvigil worklist scored.csv --budget 300 -o worklist.csv",
        "polyvigil worklist scored/ --budget 500 --audit 200 --prevalence 0.02 --quota fa=100 -o worklist.xlsx",
    ),
)
def worklist(
    out: Output,
    scored: Annotated[
        list[str],
        typer.Argument(metavar="SCORED...", help="Outputs of polyvigil score: files, folders, globs."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The list to write: csv, xlsx, jsonl or tsv.")],
    budget: Annotated[int, typer.Option("--budget", help="How many posts will be read, the audit among them.")] = 300,
    audit: Annotated[
        float,
        typer.Option("--audit", help="A random sample of the rest: a share of the budget (0.2), or how many posts."),
    ] = 0.2,
    prevalence: PostPrevalence = None,
    quota: Annotated[
        list[str] | None,
        typer.Option("--quota", help="How many posts of the queue are of a language: de=50. Repeatable."),
    ] = None,
    quota_type: Annotated[
        list[str] | None, typer.Option("--quota-type", help="How many are of a type: tweet=50. Repeatable.")
    ] = None,
    bundle: Annotated[
        str, typer.Option("--bundle", help="Score the posts by this bundle first, into OUTPUT.scored.csv."), OrOnHub
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="By which the audit is sampled.")] = 0,
    posts: Posts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Choose the posts to read, most promising first, and a sample of the others; with a column for labels.

    Reviewers fill in the column label: 1 for an ADE, 0 for none. A second person fills in label_2 where an audited post
    has a 1, a third label_3 where the two differ. polyvigil estimate then says what was found and what was missed.
    """
    from polyvigil.review.worklist import WorklistOptions, check_worklist_output

    options = WorklistOptions(
        budget=budget,
        audit=audit,
        prevalence=prevalences(prevalence),
        quotas={name: _number(value) for name, value in named_values(quota, "--quota").items()},
        type_quotas={name: _number(value) for name, value in named_values(quota_type, "--quota-type").items()},
        seed=seed,
    )
    check_worklist_output(output, replace=replace, inputs=scored)
    spec = posts.spec(bundle=bundle)
    if bundle:
        scored = [score_first(out, bundle, scored, output, posts, replace=replace, device=device)]
    summary = make_worklist(out, scored, output, options, spec, replace=replace)
    return Answer(summary, worklist_lines(summary))


def make_worklist(
    out: Output, scored: Sequence[str], output: Path, options: WorklistOptions, spec: DataSpec, *, replace: bool
) -> WorklistSummary:
    """Read scored posts, choose, and write the worklist."""
    from polyvigil.evaluation.audit_estimate import MOST_BOUND_ONLY
    from polyvigil.review.scored_posts import read_scored
    from polyvigil.review.worklist import choose_posts, summarise, write_worklist

    started = time.monotonic()
    scored_posts = read_scored(
        scored, spec, progress=lambda done, aside, share: out.progress("reading", started, done, aside, share)
    )
    out.end_progress()
    chosen = choose_posts(scored_posts, options, spec)
    summary = summarise(scored_posts, chosen, options, output=str(output))
    write_worklist(scored_posts, chosen, summary, spec=spec, replace=replace)
    out.notes(summary.notes)
    if summary.queue + summary.audit < options.budget:
        out.note(f"there are no more than {summary.queue + summary.audit:,} posts to read")
    few = [part.name for part in summary.languages if 0 < part.audit <= MOST_BOUND_ONLY and part.audit < part.posts]
    if few:
        out.note(
            f"an audit of at most {MOST_BOUND_ONLY} posts, as of {name_list(few)}, bounds what was missed; about 200 a "
            "language give a value (--audit)"
        )
    bare = [part.name for part in summary.languages if not part.audit and part.queue < part.posts]
    if summary.audit and bare:
        out.warn(
            f"no post of {name_list(bare)} is audited, so nothing can be said of what was missed there; --audit "
            f"{10 * len(summary.languages)} or more"
        )
    if not summary.audit:
        out.warn("without an audit nothing can be said of what was missed; --audit 0.2 adds one")
    return summary


def score_first(
    out: Output, bundle: str, sources: Sequence[str], output: Path, posts: PostsInput, *, replace: bool, device: str
) -> str:
    """Score the posts of a worklist, and give the name of the file of scores."""
    from polyvigil.bundle.store import load
    from polyvigil.scoring.batch import score_files
    from polyvigil.scoring.engine import ThisProcess
    from polyvigil.scoring.stream import stem

    scored, started = f"{stem(str(output))}.scored.csv", time.monotonic()
    summary = score_files(
        ThisProcess(load(bundle, device=device)),
        sources,
        scored,
        data=posts.spec(bundle=bundle),
        replace=replace,
        progress=lambda done, aside, share: out.progress("scoring", started, done, aside, share),
    )
    out.end_progress()
    out.notes(summary.notes)
    out.log(f"{summary.posts:,} posts scored, {summary.flagged:,} flagged -> {scored}")
    return scored


def worklist_lines(summary: WorklistSummary) -> list[str]:
    """What was chosen, for people."""
    from polyvigil.cli.views.table import table

    pooled = summary.pooled
    rows = [
        [
            part.name,
            f"{part.posts:,}",
            f"{part.flagged:,}",
            f"{part.queue:,}",
            f"{part.audit:,}",
            f"{part.expected:,.1f}",
            f"{part.expected_all:,.1f}",
        ]
        for part in (*summary.languages, *((pooled,) if len(summary.languages) > 1 else ()))
    ]
    header = ["language", "posts", "flagged", "queue", "audit", "expected", "of all"]
    share = pooled.expected / pooled.expected_all if pooled.expected_all else 0.0
    scored = " ".join(summary.inputs[:1]) if len(summary.inputs) == 1 else "SCORED..."
    return [
        f"{summary.queue + summary.audit:,} posts to read of {pooled.posts:,} that say different things -> "
        f"{summary.output}",
        "",
        table(header, rows),
        "",
        f"By the scores alone the queue holds about {pooled.expected:,.0f} of {pooled.expected_all:,.0f} ADEs "
        f"({share:.0%}).",
        "What is there, the labels will say: fill in label, and label_2 for audited ADEs; then",
        f"  polyvigil estimate {scored} --reviewed {summary.output}",
    ]


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise RecipeError(f"{value!r} is no number of posts", where="--quota", hint="as de=50") from error
