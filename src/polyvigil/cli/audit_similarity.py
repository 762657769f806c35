"""``polyvigil audit similarity``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, BundleFolder, Device, Posts
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.checks.audit.similarity import SimilarityAudit


@command(
    group="audit",
    examples=(
        "polyvigil audit similarity BUNDLE posts.csv",
        "polyvigil audit similarity BUNDLE posts.csv --json",
    ),
)
def similarity(
    out: Output,
    bundle: BundleFolder,
    file: Annotated[str, typer.Argument(help="Posts; labels are not looked at.")],
    posts: Posts = DEFAULT_POSTS,
    device: Device = "auto",
) -> Answer:
    """How alike are the scores of the languages? A matrix of overlaps, and no gate."""
    from polyvigil.bundle.store import load
    from polyvigil.checks.audit.similarity import audit_similarity

    reading = posts.read_unlabelled(file, bundle=bundle)
    loaded = load(bundle, device=device)
    out.notes(reading.notes)
    audit = audit_similarity(loaded, reading.posts)
    return Answer(audit, similarity_lines(audit))


def similarity_lines(audit: SimilarityAudit) -> list[str]:
    """Mean P of each language, and the matrix of overlaps."""
    from polyvigil.cli.views.table import table

    names = [part.language for part in audit.languages]
    rows = [
        (
            part.language,
            f"{part.posts:,}",
            f"{part.mean:.3f}",
            f"{part.share:.1%}",
            f"{part.threshold:.3f}",
            part.source,
        )
        for part in audit.languages
    ]
    matrix = [(name, *(f"{value:.2f}" for value in row)) for name, row in zip(names, audit.overlaps, strict=True)]
    return [
        table(("language", "posts", "mean P", "flagged", "threshold", "source"), rows),
        "",
        "overlap of the histograms of logits, 1: the same",
        table(("", *names), matrix),
    ]
