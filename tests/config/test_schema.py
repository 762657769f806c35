"""The schema for editors takes what the program takes, and knows each key that the program knows."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from polyvigil.config.load import load, parse, shipped, to_toml
from polyvigil.config.schema import recipe_schema
from polyvigil.errors import RecipeError

SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def _tree(name: str) -> dict[str, Any]:
    return tomllib.loads(to_toml(load(name)))


def _agree(tree: dict[str, Any]) -> bool:
    """Whether both take it; an error where they differ."""
    faults = [one.message[:200] for one in VALIDATOR.iter_errors(tree)]
    try:
        parse(tree)
        taken = True
    except RecipeError:
        taken = False
    assert taken == (not faults), faults or "the schema takes what the program refuses"
    return taken


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_fit_as_written_and_as_resolved(name: str) -> None:
    assert _agree(tomllib.loads(shipped()[name].read_text(encoding="utf-8")))
    assert _agree(_tree(name))


@pytest.mark.parametrize("name", shipped())
def test_a_wrong_key_type_or_section_is_refused_by_both(name: str) -> None:
    whole = _tree(name)
    sections = [key for key, value in whole.items() if isinstance(value, dict)]
    for section in sections:
        assert not _agree(whole | {section: whole[section] | {"no_such_key": 1}})
        for key, value in whole[section].items():
            wrong = copy.deepcopy(whole)
            wrong[section][key] = 1 if isinstance(value, str) else "a word"
            _agree(wrong)  # most are refused by both; a word is a good value of some settings
    assert not _agree(whole | {"no_such_section": {}})
    assert not _agree(whole | {"seed": -1})
    assert not _agree(whole | {"model": {"kind": "no-such-kind"}})


@pytest.mark.parametrize("kind", ["linear", "encoder", "nli", "ner", "stacked", "hybrid"])
@pytest.mark.parametrize("section", ["training", "lora", "distil", "adapt", "balance", "linear_balance", "decide"])
def test_a_kind_has_its_own_sections_in_both(kind: str, section: str) -> None:
    _agree({"model": {"kind": kind}, section: {}})
    _agree({"model": {"kind": kind, "base": {"kind": "linear"}}, section: {}})


def test_no_kind_is_the_linear_one() -> None:
    assert _agree({})
    assert _agree({"model": {"C": 2.0}})
    assert not _agree({"training": {"epochs": 3}})


def test_an_editor_finds_what_each_setting_means() -> None:
    """Each setting but a section has a description, which editors show beside the completion."""
    bare = [
        f"{name}.{key}"
        for name, definition in SCHEMA["$defs"].items()
        if name.endswith("Spec")
        for key, setting in definition["properties"].items()
        if key not in {"kind", "name"} and "description" not in setting and "$ref" not in setting
    ]
    assert bare == []
