"""``polyvigil audit truncation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, GATE, BundleFolder, Device, LabelledPosts
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.checks.audit.truncation import TruncationAudit


@command(
    group="audit",
    examples=(
        "polyvigil audit truncation BUNDLE dev.csv",
        "polyvigil audit truncation BUNDLE posts.csv --split test --json",
    ),
)
def truncation(
    out: Output,
    bundle: BundleFolder,
    file: Annotated[str, typer.Argument(help="Labelled posts that it was not trained on.")],
    posts: LabelledPosts = DEFAULT_POSTS,
    device: Device = "auto",
) -> Answer:
    """How many posts are cut, and which ADEs are missed by it? Exit 3 when too many are."""
    from polyvigil.bundle.store import load
    from polyvigil.checks.audit.truncation import audit_truncation

    reading = posts.read_labelled(file, bundle=bundle)
    loaded = load(bundle, device=device)
    out.notes(reading.notes)
    out.log(f"scoring {len(reading.posts):,} posts")
    audit = audit_truncation(loaded, reading)
    return Answer(audit, truncation_lines(audit), 0 if all(gate.passed for gate in audit.gates) else GATE)


def truncation_lines(audit: TruncationAudit) -> list[str]:
    """What is cut by language, metrics by length, the posts that lose their evidence, the gate."""
    from polyvigil.cli.views.audit import gate_lines
    from polyvigil.cli.views.table import table

    unit = "tokens" if audit.tokens else "characters"
    languages = [
        (
            part.name,
            f"{part.posts:,}",
            f"{part.median:,.0f}",
            f"{part.longest:,}",
            f"{part.truncated:,}",
            f"{part.share:.1%}",
            f"{part.interval.low:.1%}-{part.interval.high:.1%}",
        )
        for part in audit.languages
    ]
    bands = [
        (
            f"{band.low:,} to {band.high:,}",
            f"{band.posts:,}",
            f"{band.cut:,}",
            f"{band.positives:,}",
            f"{band.found:,}",
            f"{band.f1:.3f}",
            f"{band.f1_interval.low:.3f}-{band.f1_interval.high:.3f}",
        )
        for band in audit.bands
    ]
    header = ("language", "posts", "median", "longest", "cut", "share", "95%")
    lost = [
        f"{item.id}: P {item.p:.3f}, of its end {item.p_tail:.3f}, threshold {item.threshold:.3f}"
        for item in audit.lost
    ]
    return [
        *([table(header, languages), ""] if audit.tokens else ["no member counts tokens, so no post is cut", ""]),
        table((unit, "posts", "cut", "positives", "found", "F1", "95%"), bands),
        "",
        *([f"{len(lost):,} positives lose their evidence:", *lost[:20], ""] if lost else []),
        *gate_lines(audit.gates),
    ]
