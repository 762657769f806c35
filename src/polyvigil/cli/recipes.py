"""``polyvigil recipes``."""

from __future__ import annotations

from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output


@command(examples=("polyvigil recipes", "polyvigil recipes linear > my.toml"))
def recipes(
    out: Output,  # noqa: ARG001
    name: Annotated[str, typer.Argument(help="Show this one whole, every setting with its meaning.")] = "",
) -> Answer:
    """List the shipped recipes, or show one with every setting resolved and explained."""
    from polyvigil.config.load import find, load, shipped, to_toml

    if name:
        recipe = load(name)
        path = find(name)
        header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        return Answer(
            {"name": path.stem, "recipe": recipe.model_dump(mode="json")},
            [*header, "", *to_toml(recipe).splitlines()],
        )
    known = {
        stem: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for stem, path in shipped().items()
    }
    return Answer({"recipes": known}, [f"{stem:<14} {about}" for stem, about in known.items()])
