"""Options that several commands share, each defined once."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from polyvigil.config.data import DataSpec
from polyvigil.config.load import apply_setting, parse
from polyvigil.errors import RecipeError


class OnErrorOption(StrEnum):
    """What to do with a row that cannot be used."""

    quarantine = "quarantine"
    fail = "fail"


Columns = Annotated[
    list[str] | None, typer.Option("--column", help="Which column plays which part: text=tweet. Repeatable.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: model.C=2, data.labels.yes=1. Repeatable.")
]
OnErrorChoice = Annotated[
    OnErrorOption, typer.Option("--on-error", help="A row that cannot be used: set it aside, or stop there.")
]
FailOnQuarantine = Annotated[bool, typer.Option("--fail-on-quarantine", help="Exit with 5 when rows were set aside.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a bundle that stands there already.")]
Device = Annotated[str, typer.Option("--device", help="Where encoders run: auto, cpu, cuda, cuda:1.")]
ForDevice = Annotated[
    str,
    typer.Option(
        "--for-device",
        help="With --dry-run: estimate for this card, not this machine: rtx-3060-12gb, rtx-4090, a100-40gb, a100-80gb, "
        "h100, l4, t4.",
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Fetch no model: use local folders and what was fetched before.")
]
Split = Annotated[str, typer.Option("--split", help="Read only the rows whose split column says this.")]

QUARANTINED = 5
GATE = 3
"""Exit code of a command that looked for faults and found one beyond its limit."""


def needs_dry_run(for_device: str, *, dry_run: bool) -> None:
    """Raise RecipeError for a --for-device that is not known, or would be left unheard."""
    from polyvigil.learn.devices import named_device

    if for_device and not dry_run:
        raise RecipeError(
            "is for estimates alone", where="--for-device", hint="add --dry-run; to train on it: --device"
        )
    if for_device:
        named_device(for_device, precision="fp32")


def settings_of(columns: Sequence[str] | None, settings: Sequence[str] | None) -> list[str]:
    """``--column`` and ``--set`` as one list of settings. Raises RecipeError for a --column without ``=``."""
    all_settings = list(settings or ())
    for column in columns or ():
        role, equals, name = column.partition("=")
        if not equals or not role or not name:
            raise RecipeError(f"--column {column!r} is not part=NAME", hint="for example --column text=tweet")
        all_settings.append(f"data.columns.{role}={_quoted(name)}")
    return all_settings


def numbers(given: str, *, option: str) -> tuple[float, ...]:
    """``1.0,0.7`` as numbers, none of an empty text. Raises RecipeError for anything else."""
    try:
        return tuple(float(part) for part in given.split(",")) if given else ()
    except ValueError as error:
        raise RecipeError(f"{given!r} is no list of numbers", where=option, hint="as 1.0,0.7") from error


def data_spec(columns: Sequence[str] | None, settings: Sequence[str] | None) -> DataSpec:
    """The data settings of a command that takes no recipe. Raises RecipeError for a setting of another section."""
    tree: dict[str, Any] = {}
    for setting in settings_of(columns, settings):
        if not setting.startswith("data."):
            raise RecipeError(f"--set {setting!r}: only data.* can be set here", hint="for example data.labels.yes=1")
        apply_setting(tree, setting)
    return parse(tree, where="options").data


def _quoted(name: str) -> str:
    import json

    return json.dumps(name, ensure_ascii=False)
