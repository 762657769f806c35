"""``polyvigil audit shortcuts``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, GATE, BundleFolder, Device, LabelledPosts
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.checks.audit.shortcuts import ShortcutAudit


@command(
    group="audit",
    examples=(
        "polyvigil audit shortcuts BUNDLE posts.csv",
        "polyvigil audit shortcuts BUNDLE test.csv --train train.csv --json",
    ),
)
def shortcuts(
    out: Output,
    bundle: BundleFolder,
    file: Annotated[str, typer.Argument(help="Labelled posts that it has not seen.")],
    train: Annotated[str, typer.Option("--train", help="The posts it was trained on, to be looked at too.")] = "",
    posts: LabelledPosts = DEFAULT_POSTS,
    device: Device = "auto",
) -> Answer:
    """Does a bundle flag a language, a script, a length, a source in place of an ADE? Exit 3 if so."""
    from polyvigil.bundle.store import load
    from polyvigil.checks.audit.shortcuts import audit_shortcuts

    loaded = load(bundle, device=device)
    reading = posts.read_labelled(file, bundle=bundle)
    trained_on = replace(posts, split="").read_labelled(train, bundle=bundle) if train else None
    out.notes((*reading.notes, *(trained_on.notes if trained_on else ())))
    out.log(f"probing every script, and scoring {len(reading.posts):,} posts")
    audit = audit_shortcuts(loaded, reading, train=trained_on)
    return Answer(audit, shortcut_lines(audit), 0 if all(gate.passed for gate in audit.gates) else GATE)


def shortcut_lines(audit: ShortcutAudit) -> list[str]:
    """Flag rates by language and script, the probes, the gates."""
    from polyvigil.cli.views.audit import gate_lines
    from polyvigil.cli.views.table import table

    cells = [
        (
            cell.language,
            cell.script,
            f"{cell.posts:,}",
            f"{cell.positives / cell.posts:.1%}",
            f"{cell.prior:.1%}",
            f"{cell.share:.1%}",
            f"{cell.false_rate:.1%}",
            f"{cell.false_interval.low:.1%}-{cell.false_interval.high:.1%}",
        )
        for cell in audit.cells
    ]
    header = ("language", "script", "posts", "positive", "in dev", "flagged", "of negatives", "95%")
    probes = [
        (
            probe.script,
            probe.kind,
            f"{probe.letters:,}",
            f"{'own ' if probe.own_threshold else ''}{probe.threshold:.2f}",
            f"{probe.share:.0%}",
            f"{probe.share_interval.low:.0%}-{probe.share_interval.high:.0%}",
            f"{probe.lift:+.2f}",
            f"{probe.deviation:.2f}",
        )
        for probe in audit.probes
    ]
    return [
        table(header, cells, left=2),
        "",
        "texts that say nothing: junk is random letters, mapped are negatives with other letters;",
        "lift above other scripts and the deviation of the others from their median, in logits",
        table(("script", "text", "letters", "threshold", "flagged", "95%", "lift", "deviation"), probes, left=2),
        "",
        *gate_lines(audit.gates),
    ]
