"""``polyvigil recipes``: a table of the shipped recipes, or one of them whole."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.types import Frozen

_HEADER = ("recipe", "parameters", "languages", "memory", "licence")
_NOTE = "memory: weights, gradients and moments in training, activations come on top; of\nzero-shot models the weights"


class RecipeSummary(Frozen):
    """What a shipped recipe is, and when to take it. ``parameters``: of its models; ``memory``: bytes; of a recipe
    without a model both are 0."""

    about: str
    when: str = Field(description="when to take this one")
    models: tuple[str, ...]
    parameters: int
    languages: str
    memory: int
    licence: str

    def row(self, name: str) -> tuple[str, ...]:
        """A line of the table."""
        if not self.models:
            return (name, "-", "any", "-", "-")
        return (name, f"{self.parameters / 1e6:,.0f}M", self.languages, f"{self.memory / 1e9:.1f} GB", self.licence)


@command(
    examples=(
        "polyvigil recipes linear > my.toml",
        "polyvigil recipes --schema > recipe.schema.json",
    )
)
def recipes(
    out: Output,  # noqa: ARG001
    name: Annotated[str, typer.Argument(help="Show this one whole, every setting with its meaning.")] = "",
    schema: Annotated[
        bool, typer.Option("--schema", help="Write the JSON Schema by which an editor checks and completes recipes.")
    ] = False,
) -> Answer:
    """List the shipped recipes, or show one with every setting resolved and explained."""
    if schema:
        return _schema(name)
    from polyvigil.cli.views.table import WIDTH, table
    from polyvigil.config.load import find, load, shipped, to_toml

    if name:
        recipe = load(name)
        path = find(name)
        return Answer(
            {"name": path.stem, "recipe": recipe.model_dump(mode="json")},
            [*_comments(path), "", *to_toml(recipe).splitlines()],
        )
    known = {stem: _summary(path) for stem, path in shipped().items()}
    lines = table(_HEADER, [each.row(stem) for stem, each in known.items()]).splitlines()
    lines += ["", *_NOTE.splitlines(), "", "take it when", ""]
    for stem, each in known.items():
        lines += textwrap.wrap(each.when, WIDTH, initial_indent=f"{stem:<14} ", subsequent_indent=" " * 15)
    return Answer(
        {
            "recipes": {stem: each.about for stem, each in known.items()},
            "details": {stem: each.model_dump(mode="json") for stem, each in known.items()},
        },
        lines,
    )


def _schema(name: str) -> Answer:
    from polyvigil.config.schema import recipe_schema

    if name:
        raise typer.BadParameter("one schema is for all recipes: leave the name out", param_hint="--schema")
    schema = recipe_schema()
    return Answer({"schema": schema}, json.dumps(schema, indent=2).splitlines())


def _comments(path: Path) -> list[str]:
    """The comment that a recipe's file begins with, line by line."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]


def _summary(path: Path) -> RecipeSummary:
    from polyvigil.config.load import load
    from polyvigil.config.recipe import FineTunedRecipe
    from polyvigil.learn.estimate import memory_of_weights
    from polyvigil.nn.shapes import known_shapes
    from polyvigil.workflows.models import models_of

    recipe, comments = load(str(path)), _comments(path)
    names = tuple(model.name for model in models_of(recipe))
    shapes = [known_shapes()[name] for name in names]
    trained = shapes[0] if isinstance(recipe, FineTunedRecipe) and recipe.encoder else None
    memory = sum(4 * shape.parameters for shape in shapes if shape is not trained)
    if trained and isinstance(recipe, FineTunedRecipe):
        memory += memory_of_weights(recipe, trained)
    return RecipeSummary(
        about=comments[0].removeprefix("# "),
        when=next((line.removeprefix("# When: ") for line in comments if line.startswith("# When: ")), ""),
        models=names,
        parameters=sum(shape.parameters for shape in shapes),
        languages=shapes[0].languages if shapes else "",
        memory=memory,
        licence=", ".join(dict.fromkeys(shape.licence for shape in shapes)),
    )
