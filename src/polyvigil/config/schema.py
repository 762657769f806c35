"""The JSON Schema of a recipe, for editors that check and complete TOML."""

from __future__ import annotations

from typing import Any

from polyvigil.config.recipe import RECIPE_ADAPTER

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LINEAR = {"required": ["kind"], "properties": {"kind": {"const": "linear"}}}
_MODELS: dict[str, dict[str, Any]] = {
    "EncoderRecipe": {"required": ["kind"]},
    "ZeroShotRecipe": {"required": ["kind"]},
    "StackedRecipe": {"required": ["kind"], "properties": {"base": {"not": _LINEAR}}},
    "StackedLinearRecipe": {"required": ["kind", "base"], "properties": {"base": _LINEAR}},
    "HybridRecipe": {"required": ["kind"]},
}
"""What ``[model]`` must say so that it is of this class, where the class alone would take it by its default."""


def recipe_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of all kinds of recipes: a recipe fits one kind at most, as in ``config.load.parse``.

    What depends on several settings at once (values that exclude each other) is checked when a recipe is loaded alone.
    """
    schema = RECIPE_ADAPTER.json_schema()
    for name, needed in _MODELS.items():
        recipe = schema["$defs"][name]
        model = dict(recipe["properties"]["model"])
        model.pop("default")
        shape = {key: model.pop(key) for key in ("$ref", "oneOf", "discriminator") if key in model}
        recipe["properties"]["model"] = {"allOf": [shape, needed], **model}
        recipe["required"] = ["model"]
    return {
        "$schema": _DIALECT,
        "title": "A polyvigil recipe",
        "description": "One training run, from files to a bundle.",
        **schema,
    }
