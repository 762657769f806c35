"""``polyvigil submit``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.judging import AskEndpoint, endpoint_permission, report_judge_usage
from polyvigil.cli.options import DEFAULT_POSTS, AllPosts, BundleFolder, Device, Replace
from polyvigil.cli.output import Answer, Output


@command(
    examples=(
        "polyvigil submit BUNDLE test.csv -o submission.zip",
        "polyvigil submit BUNDLE all.csv --split test -o submission.zip --json",
    ),
)
def submit(
    out: Output,
    bundle: BundleFolder,
    source: Annotated[str, typer.Argument(metavar="TEST", help="The test file: every id in it gets an answer.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The zip to write.")] = Path("submission.zip"),
    posts: AllPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
    ask_endpoint: AskEndpoint = False,
) -> Answer:
    """Write a submission to the shared task: a flat zip with one CSV, id,predicted_label, one row per test id."""
    from polyvigil.bundle.outputs import check_output
    from polyvigil.bundle.store import load
    from polyvigil.scoring.submission import SUBMISSION, write_submission

    check_output(output, SUBMISSION, replace=replace, inputs=[bundle, source])
    loaded = load(bundle, device=device, permission=endpoint_permission(ask_endpoint))
    started = time.monotonic()
    result = write_submission(
        loaded,
        source,
        output,
        spec=posts.spec(bundle=bundle),
        split=posts.split,
        replace=replace,
        progress=lambda done: out.progress("deciding", started, done, 0, None),
    )
    report_judge_usage(out, loaded.usage, endpoint_skipped=loaded.has_endpoint)
    out.notes(result.notes)
    return Answer(result, [f"{result.posts:,} answers, {result.flagged:,} positive -> {output} ({result.member})"])
