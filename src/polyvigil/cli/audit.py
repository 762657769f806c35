"""``polyvigil audit``: looks for one kind of fault each, and says no with exit code 3."""

from __future__ import annotations

import typer

from polyvigil.cli import (
    audit_augmentation,
    audit_behaviour,
    audit_calibration,
    audit_data,
    audit_shortcuts,
    audit_similarity,
    audit_truncation,
)

KINDS = (
    audit_data,
    audit_shortcuts,
    audit_behaviour,
    audit_augmentation,
    audit_calibration,
    audit_truncation,
    audit_similarity,
)


def add_to(app: typer.Typer) -> None:
    """Register the group and the audits in it."""
    kinds = typer.Typer(
        name="audit",
        no_args_is_help=True,
        rich_markup_mode=None,
        help="\b\nExamples:\n  polyvigil audit data train.csv dev.csv\n"
        "  polyvigil audit shortcuts BUNDLE posts.csv\n\n"
        "Look for faults in data and bundles. Each kind has limits of its own; beyond one it exits with 3.",
        short_help="Look for faults in data and bundles: shortcuts, drift, cut posts. Exits with 3 on a fault.",
    )
    for kind in KINDS:
        kind.add_to(kinds)
    app.add_typer(kinds)
