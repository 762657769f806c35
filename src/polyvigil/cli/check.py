"""``polyvigil check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, AllPosts
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.checks.check_result import CheckResult


Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="Files of posts, labelled or not, checked one by one and together."),
]


@command(
    examples=(
        "polyvigil check train.csv dev.csv test.csv",
        "polyvigil check posts.jsonl --column text=body --set data.labels.yes=1 --strict",
    ),
)
def check(
    out: Output,
    files: Files,
    posts: AllPosts = DEFAULT_POSTS,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 when a finding is an error.")] = False,
) -> Answer:
    """Look for what would spoil a training or its metrics: leaks, duplicates, contradictions, give-away columns.

    Files without labels are looked at for what needs none: leaks to and from them, duplicates, languages, texts.
    """
    from polyvigil.checks.check import check as run_check

    spec = posts.spec()
    readings = [posts.read_with_labels_if_any(file, spec) for file in files]
    out.notes(note for reading in readings for note in reading.notes)
    result = run_check(readings, spec=spec, progress=lambda stage: out.log(f"looking at {stage}"))
    failed = strict and any(finding.severity == "error" for finding in result.findings)
    return Answer(result, check_lines(result), 3 if failed else 0)


@command(
    group="audit",
    examples=(
        "polyvigil audit data train.csv dev.csv test.csv",
        "polyvigil audit data posts.jsonl --column text=body --json",
    ),
)
def data(out: Output, files: Files, posts: AllPosts = DEFAULT_POSTS) -> Answer:
    """The same as check --strict: look for what would spoil a training or its metrics; exit 3 on an error."""
    return check(out, files, posts, strict=True)


def check_lines(result: CheckResult) -> list[str]:
    """What is in the files, by language, length and label; then what was found."""
    from polyvigil.cli.views.table import table

    counts = [
        (
            c.language,
            c.split or "-",
            c.file.rpartition("/")[2],
            f"{c.posts:,}",
            "-" if c.positives is None else f"{c.positives:,}",
            "-" if c.share is None else f"{c.share:.1%}",
        )
        for c in result.languages
    ]
    lines = [table(("language", "split", "file", "posts", "positives", "share"), counts, left=3), ""]
    lines += ["characters of the texts as read, before normalisation", "", _length_table(result), ""]
    lines += [*_label_lines(result), ""]
    for finding in result.findings:
        where = f" [{finding.where}]" if str(finding.where) else ""
        lines += [f"{finding.severity:<8} {finding.code}{where}: {finding.message}", f"         {finding.hint}"]
    severities = [finding.severity for finding in result.findings]
    summary = ", ".join(f"{severities.count(name)} {name}" for name in ("error", "warning", "info"))
    return [*lines, "", f"findings: {summary}" if severities else "nothing found"]


def _label_lines(result: CheckResult) -> list[str]:
    """The values in the column of labels of each file, with their rows."""
    lines = []
    for part in result.files:
        values = (
            f"{value.value or '(empty)'} {value.rows:,}" + ("" if value.label is not None else " (set aside)")
            for value in part.labels
        )
        lines.append(f"labels of {part.file.rpartition('/')[2]}: {', '.join(values) or 'none'}")
    return lines


def _length_table(result: CheckResult) -> str:
    """Language and type; the file too where there are several."""
    from polyvigil.cli.views.table import table

    several = len(result.files) > 1
    rows = [
        (
            part.language,
            part.type or "-",
            *((part.file.rpartition("/")[2],) if several else ()),
            f"{part.posts:,}",
            f"{part.median:,.0f}",
            f"{part.mean:,.1f}",
        )
        for part in result.lengths
    ]
    header = ("language", "type", *(("file",) if several else ()), "posts", "median", "mean")
    return table(header, rows, left=3 if several else 2)
