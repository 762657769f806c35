"""TOML and ``--set`` to a Recipe, and back. A RecipeError names all faults at once, each with its key path."""

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

from polyvigil.config.base import Spec
from polyvigil.config.recipe import MODEL_KINDS, RECIPE_ADAPTER, RECIPE_KINDS, Recipe
from polyvigil.errors import RecipeError

_Tree = dict[str, Any]
_WORDS = "data.labels."
"""Where the keys are a file's own words, dots and equals signs in them."""


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


def load(name_or_path: str, *, settings: Sequence[str] = (), values: Mapping[str, object] | None = None) -> Recipe:
    """Read and check a recipe. ``settings`` are ``section.key=value``, the value in TOML (a bare word is a string).

    ``values``: the same as Python values by ``section.key``; they are applied after ``settings``.

    Raises RecipeError naming every unknown key, wrong type and value out of range at once.
    """
    path = find(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot be read as UTF-8 text ({type(error).__name__})", where=str(path)) from error
    return load_text(text, settings=settings, values=values, where=str(path))


def load_text(
    text: str, *, settings: Sequence[str] = (), values: Mapping[str, object] | None = None, where: str
) -> Recipe:
    """A recipe from its TOML, such as the one a bundle holds; the rest as in ``load``. Raises RecipeError."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}", where=where) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise RecipeError("not TOML: a value too long or too deep to be read", where=where) from error
    for setting in settings:
        apply_setting(tree, setting)
    for path, value in (values or {}).items():
        apply_value(tree, path, value)
    return parse(tree, where=where)


def parse_values(values: Mapping[str, object], *, where: str) -> Recipe:
    """A recipe of defaults but for ``values``, by their ``section.key``. Raises RecipeError with all faults."""
    tree: _Tree = {}
    for path, value in values.items():
        apply_value(tree, path, value)
    return parse(tree, where=where)


def parse(tree: Mapping[str, Any], *, where: str = "") -> Recipe:
    """A recipe from a tree of tables, of the class that ``model.kind`` says. Raises RecipeError with all faults.

    A section that changes nothing for that kind is a fault: who writes one believes that it does something.
    """
    kind = _kind_of(tree)
    try:
        return RECIPE_ADAPTER.validate_python(_without_empty_seeds(tree, kind))
    except ValidationError as error:
        problems = [_message(problem, kind) for problem in _of_known_kind(error.errors(), kind)]
        noun = "fault" if len(problems) == 1 else "faults"
        raise RecipeError(
            f"{len(problems)} {noun}\n" + "\n".join(f"  {problem}" for problem in problems), where=where
        ) from error


def to_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML, each setting under a comment that says what it does; ``load`` reads it back."""
    top, sections = [], []
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if name == "adapt" and name not in recipe.model_fields_set:
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
        if isinstance(spec, Spec) and key in spec.unwritten_defaults and not value:
            continue
        if isinstance(value, BaseModel):
            inside += _sections(f"{path}.{key}", field.description, value)
        else:
            settings.append(_setting(key, field.description, value))
    return [(f"# {description}\n" if description else "") + f"[{path}]\n" + "".join(settings), *inside]


def _setting(name: str, description: str | None, value: Any) -> str:
    if isinstance(value, dict):
        shown = _inline(value)
    elif isinstance(value, tuple):
        shown = "[" + ", ".join(map(_scalar, value)) + "]"
    else:
        shown = _scalar(value)
    return (f"# {description}\n" if description else "") + f"{name} = {shown}\n"


def _inline(table: Mapping[str, Any]) -> str:
    """A table on one line, since one of its own would end the section."""
    keys = (tomli_w.dumps({key: 0}).strip().removesuffix("0") for key in table)
    values = (_inline(value) if isinstance(value, Mapping) else _scalar(value) for value in table.values())
    return "{" + ", ".join(key + value for key, value in zip(keys, values, strict=True)) + "}"


def _scalar(value: Any) -> str:
    return tomli_w.dumps({"value": value}).partition(" = ")[2].strip()


def apply_setting(tree: _Tree, setting: str) -> None:
    """Put ``section.key=value`` into a tree of tables. Raises RecipeError when it is not of that form."""
    path, equals, raw = setting.rpartition("=") if setting.startswith(_WORDS) else setting.partition("=")
    keys = _keys(path)
    if not equals or not all(keys):
        raise RecipeError(f"--set {setting!r} is not section.key=value", hint="for example --set model.C=2")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):  # no TOML, or too long or too deep a value
        value = raw
    apply_value(tree, path, value, setting=setting)


def apply_value(tree: _Tree, path: str, value: object, *, setting: str = "") -> None:
    """Put a value at ``section.key`` of a tree of tables. ``setting``: what a message calls it, if not ``path``."""
    *sections, name = _keys(path)
    table = tree
    for key in sections:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {setting or path!r}: {key!r} is a value, not a section")
    table["" if name == '""' else name] = value  # an empty cell among the words of data.labels, as TOML writes it


def _keys(path: str) -> list[str]:
    """The keys of a path, which dots divide, but for words of a file: ``data.labels.1. ADE`` has three."""
    path = path.strip()
    return path.split(".", maxsplit=2) if path.startswith(_WORDS) else path.split(".")


def _kind_of(tree: Mapping[str, Any]) -> Any:
    model = tree.get("model")
    return model.get("kind", "linear") if isinstance(model, Mapping) else "linear"


def _without_empty_seeds(tree: Mapping[str, Any], kind: Any) -> Mapping[str, Any]:
    """``seeds = []`` says what is so anyway; bundles and recipes of kinds that have no seeds may hold it."""
    return {
        key: value for key, value in tree.items() if key != "seeds" or value or kind in {"encoder", "stacked", "hybrid"}
    }


def _of_known_kind(problems: Sequence[Any], kind: Any) -> list[Any]:
    """All problems; of [model] only that its kind is not known, where that is so: the others follow from it."""
    if kind in MODEL_KINDS:
        return list(problems)
    return [problem for problem in problems if problem["loc"][1:2] != ("model",) or problem["loc"][-1] == "kind"]


def _message(problem: Any, kind: Any) -> str:
    keys = [str(part) for part in problem["loc"][1:]]  # the first is the class of the recipe
    if problem["loc"][0] == "zero-shot" and keys[:1] == ["model"] and len(keys) > 1:
        del keys[1]  # the kind, which is a value of the file and no key
    if keys[:2] in (["model", "base"], ["model", "further"], ["decide", "objective"]) and len(keys) > 3:
        del keys[2]
    path = ".".join(keys) or "recipe"
    message = str(problem["msg"]).removeprefix("Value error, ")
    shown = _shown_input(problem["input"])
    if path == "model.kind":
        return f"{path}: must be one of {', '.join(MODEL_KINDS)} (it is {shown})"
    if problem["type"] == "extra_forbidden":
        if any(path in recipe_kind.model_fields for recipe_kind in RECIPE_KINDS):
            section = path if path == "seeds" else f"[{path}]"
            return f"{section} changes nothing for model.kind = {kind}{_base_of(problem)}; remove it"
        if path in known_keys():
            return f"{path} changes nothing for model.kind = {kind}{_base_of(problem)}; remove it"
        close = difflib.get_close_matches(path, known_keys(), n=1, cutoff=0.5)
        return f"{path}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")
    return f"{path}: {message} (it is {shown})"


def _shown_input(value: object) -> str:
    """A value for a message: its first 60 characters."""
    try:
        shown = repr(value)
    except (RecursionError, ValueError):  # thousands of tables inside each other, a number of thousands of digits
        return "too long or too deep to be shown"
    return shown if len(shown) <= 60 else shown[:60] + "..."


def _base_of(problem: Any) -> str:
    return " over a linear base" if problem["loc"][0] == "stacked-linear" else ""


@cache
def known_keys() -> tuple[str, ...]:
    """The path of every setting of every kind of recipe, in the order of the specs."""

    def walk(specs: Sequence[type[BaseModel]], prefix: str) -> list[str]:
        """The keys of tables that any of ``specs`` may describe."""
        keys: list[str] = []
        for name in dict.fromkeys(name for spec in specs for name in spec.model_fields):
            kinds = [kind for spec in specs if name in spec.model_fields for kind in _types(spec, name)]
            sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
            keys += walk(list(dict.fromkeys(sections)), f"{prefix}{name}.") if sections else [prefix + name]
        return keys

    return tuple(walk(RECIPE_KINDS, ""))


def _types(spec: type[BaseModel], name: str) -> Sequence[Any]:
    annotation = spec.model_fields[name].annotation
    return get_args(annotation) or (annotation,)
