"""``polyvigil augment``: more training posts than were written."""

from __future__ import annotations

import typer

from polyvigil.cli import augment_translate


def add_to(app: typer.Typer) -> None:
    """Register the group and the command in it."""
    kinds = typer.Typer(
        name="augment",
        no_args_is_help=True,
        rich_markup_mode=None,
        help="\b\nExamples:\n  polyvigil augment translate train.csv -o fa.csv --to fa --max 8000\n"
        "  polyvigil augment translate train.csv -o defr.csv --to de --to fr --from en --from ru --only positives\n\n"
        "Make further training posts. They train and never tune or measure; read docs/augmentation.md first.",
        short_help="Make further training posts, by translation.",
    )
    augment_translate.add_to(kinds)
    app.add_typer(kinds)
