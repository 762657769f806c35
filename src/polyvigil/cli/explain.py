"""``polyvigil explain``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, BundleFolder, Device, PostsInput, QuarantinedPosts, Replace
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.config.data import DataSpec
    from polyvigil.scoring.explain import ExplainSummary


@command(
    examples=(
        "polyvigil explain BUNDLE posts.csv -o explained.html --flagged-only --drugs drugs.csv",
        "polyvigil explain BUNDLE test.csv --faithfulness",
    ),
)
def explain(
    out: Output,
    bundle: BundleFolder,
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="csv, tsv, jsonl, parquet, also .gz or .zst; - is stdin.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help=".jsonl: offsets; .html: a page with the posts; -: JSONL on stdout.")
    ] = "-",
    flagged_only: Annotated[bool, typer.Option("--flagged-only", help="Leave out posts that are not flagged.")] = False,
    drugs: Annotated[str, typer.Option("--drugs", help="Your list of drugs: a column term, and maybe code.")] = "",
    reactions: Annotated[str, typer.Option("--reactions", help="Your list of reactions: the same.")] = "",
    mask: Annotated[
        bool, typer.Option("--mask", help="Of a page: mask dates, phone numbers and long numbers too; names stay.")
    ] = False,
    test_deletion: Annotated[
        bool, typer.Option("--faithfulness", help="Test the explanations by deletion, and write none.")
    ] = False,
    posts: QuarantinedPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Say which sentence and words of each post carry its score, and where your drugs and reactions stand in it."""
    from polyvigil.bundle.store import load
    from polyvigil.scoring.explain import ExplainOptions, explain_file, terms_of

    if test_deletion and (output != "-" or flagged_only or drugs or reactions or mask):
        hint = "--faithfulness"
        raise typer.BadParameter("goes with none of -o, --flagged-only, --drugs, --reactions, --mask", param_hint=hint)
    spec = posts.spec(bundle=bundle)
    if test_deletion:
        return _deletion_test(out, load(bundle, device=device), source, posts, spec)
    to_stdout = out.writes_to_stdout(output)
    terms = terms_of(drugs=drugs, reactions=reactions)
    options = ExplainOptions(spec, terms, flagged_only=flagged_only, on_error=posts.on_row_error, mask=mask)
    started, inputs = time.monotonic(), [path for path in (bundle, drugs, reactions) if path]
    summary = explain_file(load(bundle, device=device), source, output, options, replace=replace, inputs=inputs)
    _warn(out, summary, output)
    lines = _lines(summary, output, seconds=time.monotonic() - started)
    return Answer(summary, lines, posts.exit_code(set_aside=summary.set_aside), stdout_is_data=to_stdout)


def _warn(out: Output, summary: ExplainSummary, output: str) -> None:
    """What to know before the file is used."""
    from polyvigil.scoring.explain import HTML_SUFFIX

    out.notes(summary.notes)
    if output.lower().endswith(HTML_SUFFIX):
        out.warn("the page holds the text of posts, which may identify people; keep it as you keep the posts")


def _lines(summary: ExplainSummary, output: str, *, seconds: float) -> list[str]:
    lines = [f"{summary.explained:,} of {summary.posts:,} posts explained in {seconds:,.1f} s -> {output}"]
    if summary.set_aside:
        lines.append(f"{summary.set_aside:,} rows set aside -> {summary.rejects}")
    return lines


def _deletion_test(out: Output, bundle: Bundle, source: str, posts: PostsInput, spec: DataSpec) -> Answer:
    from polyvigil.cli.views.table import table
    from polyvigil.evaluation.deletion_test import deletion_test

    reading = posts.read_unlabelled(source, spec)
    out.notes(reading.notes)
    result = deletion_test(bundle, reading.posts)
    header = ("language", "flagged", "compared", "better than another stretch", "95%", "P falls by", "by the other")
    rows = [
        (
            part.language,
            f"{part.flagged:,}",
            f"{part.compared:,}",
            f"{part.share:.1%}",
            f"{part.interval.low:.1%}-{part.interval.high:.1%}",
            f"{part.drop:.3f}",
            f"{part.other_drop:.3f}",
        )
        for part in (*result.languages, result.pooled)
    ]
    lines = [
        table(header, rows),
        "",
        "how often P falls further without what is pointed at than without another stretch as long; chance is 50%",
    ]
    return Answer(result, lines)
