"""``polyvigil audit augmentation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, GATE, Device, LabelledPosts, OrOnHub
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.checks.audit.augmentation import AugmentationAudit


@command(
    group="audit",
    examples=(
        "polyvigil audit augmentation PLAIN AUGMENTED test.csv",
        "polyvigil audit augmentation PLAIN AUGMENTED posts.csv --split test --json",
    ),
)
def augmentation(
    out: Output,
    before: Annotated[str, typer.Argument(help="The bundle trained without the added posts."), OrOnHub],
    after: Annotated[str, typer.Argument(help="The bundle trained with them."), OrOnHub],
    file: Annotated[str, typer.Argument(help="Labelled posts that neither has seen.")],
    posts: LabelledPosts = DEFAULT_POSTS,
    device: Device = "auto",
) -> Answer:
    """What added training posts do to every language. Exit 3 when one loses F1 or its flag rate moves."""
    from polyvigil.bundle.store import load
    from polyvigil.checks.audit.augmentation import audit_augmentation

    reading = posts.read_labelled(file, bundle=after)
    bundles = [load(folder, device=device) for folder in (before, after)]
    out.notes(reading.notes)
    out.log(f"scoring {len(reading.posts):,} posts with both bundles")
    audit = audit_augmentation(bundles[0], bundles[1], reading)
    for caution in dict.fromkeys((*audit.before.cautions, *audit.after.cautions)):
        out.note(caution)
    return Answer(audit, augmentation_lines(audit), 0 if all(gate.passed for gate in audit.gates) else GATE)


def augmentation_lines(audit: AugmentationAudit) -> list[str]:
    """F1 of each language before and after, with intervals, then flag rates and gates."""
    from polyvigil.cli.views.audit import drift_lines, gate_lines
    from polyvigil.cli.views.table import table

    parts = {part.name: part for part in (*audit.paired.languages, audit.paired.pooled)}
    rows = []
    for before, after in zip(
        (*audit.before.languages, audit.before.pooled), (*audit.after.languages, audit.after.pooled), strict=True
    ):
        change = parts[before.name].f1
        rows.append(
            (
                before.name,
                f"{before.posts:,}",
                f"{before.positives:,}",
                *(
                    f"{side.f1:.3f} ({side.f1_interval.low:.3f}-{side.f1_interval.high:.3f})"
                    for side in (before, after)
                ),
                f"{change.difference:+.3f}",
                f"{change.low:+.3f} to {change.high:+.3f}",
                *(f"{side.precision:.3f} / {side.recall:.3f}" for side in (before, after)),
                *(f"{side.average_precision:.3f}" for side in (before, after)),
            )
        )
    headings = ("F1 before (95%)", "after (95%)", "change", "95%", "P / R before", "after", "AP before", "after")
    return [
        table(("language", "posts", "positives", *headings), rows),
        "",
        *drift_lines(audit.rates),
        "",
        *gate_lines(audit.gates),
    ]
