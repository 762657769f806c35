"""TOML and ``--set`` to a Recipe. All faults are told at once, each with its key path."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from polyvigil.config.recipe import Recipe
from polyvigil.errors import RecipeError

_Tree = dict[str, Any]
_KINDS = ("linear", "encoder", "nli", "ner", "stacked")


def shipped() -> Mapping[str, Path]:
    """The recipes that come with the program, by name."""
    inside = Path(str(files("polyvigil"))) / "recipes"
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "recipes"  # a checkout keeps them at its top
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(name_or_path: str) -> Path:
    """The file of a recipe, given by its path or, if it is shipped, by its name. Raises RecipeError without one."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = shipped()
    if name_or_path in known:
        return known[name_or_path]
    close = difflib.get_close_matches(path.stem, known, n=1)
    raise RecipeError(
        "no such recipe file" if path.suffix else f"no recipe is called {name_or_path!r}",
        where=name_or_path if path.suffix else "",
        hint=f"did you mean {close[0]!r}?" if close else f"shipped recipes: {', '.join(known)}",
    )


def load(name_or_path: str, *, settings: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe. ``settings`` are ``section.key=value``, the value in TOML (a bare word is a string).

    Raises RecipeError naming every unknown key, wrong type and value out of range at once.
    """
    path = find(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot be read as UTF-8 text ({type(error).__name__})", where=str(path)) from error
    return load_text(text, settings=settings, where=str(path))


def load_text(text: str, *, settings: Sequence[str] = (), where: str) -> Recipe:
    """A recipe from its TOML, such as the one a bundle holds; ``settings`` as in ``load``. Raises RecipeError."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}", where=where) from error
    for setting in settings:
        apply_setting(tree, setting)
    return parse(tree, where=where)


def parse(tree: Mapping[str, Any], *, where: str) -> Recipe:
    """A recipe from a tree of tables. Raises RecipeError with all faults."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        problems = [_message(problem) for problem in error.errors()]
        noun = "fault" if len(problems) == 1 else "faults"
        raise RecipeError(
            f"{len(problems)} {noun}\n" + "\n".join(f"  {problem}" for problem in problems), where=where
        ) from error


def to_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML, each setting under a comment that says what it does; ``load`` reads it back."""
    top, sections = [], []
    for name, field in Recipe.model_fields.items():
        value = getattr(recipe, name)
        if name in recipe.idle or (name == "adapt" and name not in recipe.model_fields_set):
            continue  # [adapt] is for polyvigil adapt alone
        if isinstance(value, BaseModel):
            sections += _sections(name, None, value)
        else:
            top.append(_setting(name, field.description, value))
    return "\n".join(["".join(top), *sections])


def _sections(path: str, description: str | None, spec: BaseModel) -> list[str]:
    """A section, then the sections inside it."""
    settings, inside = [], []
    for key, field in type(spec).model_fields.items():
        value = getattr(spec, key)
        if isinstance(value, BaseModel):
            inside += _sections(f"{path}.{key}", field.description, value)
        else:
            settings.append(_setting(key, field.description, value))
    return [(f"# {description}\n" if description else "") + f"[{path}]\n" + "".join(settings), *inside]


def _setting(name: str, description: str | None, value: Any) -> str:
    if isinstance(value, dict):  # inline, since a table of its own would end the section
        shown = "{" + ", ".join(tomli_w.dumps({key: inner}).strip() for key, inner in value.items()) + "}"
    elif isinstance(value, tuple):
        shown = "[" + ", ".join(map(_scalar, value)) + "]"
    else:
        shown = _scalar(value)
    return (f"# {description}\n" if description else "") + f"{name} = {shown}\n"


def _scalar(value: Any) -> str:
    return tomli_w.dumps({"value": value}).partition(" = ")[2].strip()


def apply_setting(tree: _Tree, setting: str) -> None:
    """Put ``section.key=value`` into a tree of tables. Raises RecipeError when it is not of that form."""
    path, equals, raw = setting.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set {setting!r} is not section.key=value", hint="for example --set model.C=2")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    table = tree
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {setting!r}: {key!r} is a value, not a section")
    table[keys[-1]] = value


def _message(problem: Any) -> str:
    keys = [str(part) for part in problem["loc"]]
    if keys[:1] == ["model"] and len(keys) > 1 and keys[1] in _KINDS:
        del keys[1]  # the kind, which is a value of the file and no key
    if keys[:2] in (["model", "base"], ["model", "further"], ["decide", "objective"]) and len(keys) > 3:
        del keys[2]
    path = ".".join(keys) or "recipe"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path, known_keys(), n=1, cutoff=0.5)
        return f"{path}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")
    shown = repr(problem["input"])
    return f"{path}: {message} (it is {shown if len(shown) <= 60 else shown[:60] + '...'})"


@cache
def known_keys() -> tuple[str, ...]:
    """The path of every setting, in the order of the specs."""

    def walk(spec: type[BaseModel], prefix: str) -> list[str]:
        keys: list[str] = []
        for name, field in spec.model_fields.items():
            kinds = get_args(field.annotation) or (field.annotation,)
            sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
            for section in sections:
                keys += walk(section, f"{prefix}{name}.")
            if not sections:
                keys.append(prefix + name)
        return keys

    return tuple(dict.fromkeys(walk(Recipe, "")))
