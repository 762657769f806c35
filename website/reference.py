"""Pages that the code says of itself: commands, the Python names, recipes; and the list of decisions."""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import polyvigil
from polyvigil.cli.command import build_command, registered_command
from polyvigil.cli.commands import COMMANDS, Entry, Group

_EVERYWHERE = {"json_", "quiet", "debug", "help"}
_MADE = "*This page is made from the code of the program.*"


def generated(root: Path, decisions: Mapping[str, str]) -> dict[str, str]:
    """Each generated page by its name on the site."""
    return {
        "reference/commands.md": commands_page(),
        "reference/api.md": api_page(),
        "reference/recipes.md": recipes_page(),
        "decisions/index.md": decisions_page(root, decisions),
    }


def all_commands() -> dict[str, Entry]:
    """Every command by its full name, in the order of help."""
    found: dict[str, Entry] = {}
    for name, entry in COMMANDS.items():
        if isinstance(entry, Group):
            found |= {f"{name} {inner}": one for inner, one in entry.entries.items()}
        else:
            found[name] = entry
    return found


def click_command(name: str) -> Any:
    """A command as click has it: parameters, help."""
    importlib.import_module(f"polyvigil.cli.{all_commands()[name].module}")
    return build_command(registered_command(name))


def commands_page() -> str:
    """All commands with their examples, arguments and options."""
    commands = all_commands()
    listed = "\n".join(f"- [{name}](#{_anchor(name)}): {_cell(entry.summary)}" for name, entry in commands.items())
    intro = (
        "What `polyvigil COMMAND --help` prints, for all commands. Every command also has `--json` (one document on "
    )
    intro += "stdout), `-q` (no messages) and `--debug` (the traceback of an error)."
    parts = ["# Commands", _MADE, intro, listed, *("\n".join(_command(name)) for name in commands)]
    return "\n\n".join(parts) + "\n"


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _command(name: str) -> Iterator[str]:
    command = click_command(name)
    examples, _, text = (command.help or "").partition("\n\n")
    yield f"## {name}\n"
    yield f"{text}\n"
    yield "```text"
    yield from (line.strip() for line in examples.split("\n")[2:])
    yield "```\n"
    yield "| option | |"
    yield "|---|---|"
    for parameter in command.params:
        if parameter.name in _EVERYWHERE:
            continue
        words, meaning = _parameter(parameter)
        yield f"| {words} | {meaning} |"


def _parameter(parameter: Any) -> tuple[str, str]:
    """How a parameter is written, and what help says of it, as cells of a table."""
    is_option = parameter.param_type_name == "option"
    words = [f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts)]
    if not is_option:
        words = [f"`{(parameter.metavar or parameter.name).upper()}`"]
    meaning = parameter.help or ""
    if choices := _choices(parameter):
        meaning += f" One of {', '.join(f'`{one}`' for one in choices)}."
    default = parameter.default
    if is_option and isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
        meaning += f" Default: `{getattr(default, 'value', default)}`."
    if parameter.required:
        meaning += " Required."
    return ", ".join(words), _cell(meaning)


def _choices(parameter: Any) -> list[str]:
    """The words that an option takes; none where it takes any. Click and newer typer keep them in different places."""
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    for one in (annotation, *get_args(annotation)):
        if inspect.isclass(one) and issubclass(one, Enum):
            return [str(member.value) for member in one]
    return [str(getattr(one, "value", one)) for one in getattr(getattr(parameter, "type", None), "choices", ())]


def _cell(text: str) -> str:
    """A text as a cell of a table: signs of Markdown and HTML as they are."""
    return re.sub(r"(?<!`)[|*<>](?!`)", lambda sign: "\\" + sign[0], " ".join(text.split()))


def api_page() -> str:
    """Every public name: its signature and its docstring."""
    names = [name for name in polyvigil.__all__ if name != "__version__"]
    parts = ["# Python names", _MADE, "How they go together is told in [Python](../python.md)."]
    for name in sorted(names, key=str.lower):
        parts += _named(name, getattr(polyvigil, name))
    parts += _named("sklearn.ADEClassifier", importlib.import_module("polyvigil.sklearn").ADEClassifier)
    return "\n\n".join(parts) + "\n"


def _named(name: str, value: Any) -> Iterator[str]:
    yield f"## {name}"
    documentation = markdown_of(inspect.getdoc(value) or "")
    if not inspect.isclass(value):
        if inspect.isfunction(value):
            yield _signature(f"polyvigil.{name}", value)
        yield documentation
        return
    yield documentation
    for inner, method in vars(value).items():
        function = getattr(method, "__func__", method)
        if inner.startswith("_") or not getattr(function, "__doc__", None):
            continue
        if inspect.isfunction(function):
            yield f"### {name}.{inner}"
            yield _signature(inner, function)
            yield markdown_of(inspect.getdoc(function) or "")
        elif isinstance(function, property):
            yield f"### {name}.{inner}"
            yield markdown_of(inspect.getdoc(function) or "")


def _signature(name: str, function: Any) -> str:
    """A function as it is called, one parameter a line."""
    signature = inspect.signature(function)
    lines, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            lines.append("    *,")
            keyword_only = True
        lines.append(f"    {_written(parameter)},")
    arrow = "" if signature.return_annotation is inspect.Signature.empty else f" -> {signature.return_annotation}"
    return "```text\n" + "\n".join([f"{name}(", *lines, f"){arrow}"]).replace("(\n)", "()") + "\n```"


def _written(parameter: inspect.Parameter) -> str:
    """A parameter with its annotation as the code has it, which is text there."""
    stars = "**" if parameter.kind is inspect.Parameter.VAR_KEYWORD else ""
    default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
    return f"{stars}{parameter.name}: {parameter.annotation}{default}"


def markdown_of(docstring: str) -> str:
    """A docstring as Markdown: a block behind ``::`` is code, signs of HTML are themselves."""
    parts = re.split(r"::\n\n((?:[ ]{4}.*\n?|\n)+)", docstring + "\n")
    texts = [
        re.sub(r"<(?=[a-z/])", "&lt;", part)
        if number % 2 == 0
        else ":\n\n```text\n" + textwrap.dedent(part).strip() + "\n```\n"
        for number, part in enumerate(parts)
    ]
    return "".join(texts).strip()


def recipes_page() -> str:
    """Every shipped recipe whole, with every setting explained."""
    from polyvigil.config.load import load, shipped, to_toml

    parts = [
        "# Recipes",
        _MADE,
        "What `polyvigil recipes NAME` prints: every setting, with its meaning and its default.",
    ]
    for name, path in shipped().items():
        comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        parts.append(f"## {name}")
        parts.append(_prose([line.removeprefix("#").strip() for line in comments]))
        parts.append("```toml\n" + to_toml(load(str(path))).strip() + "\n```")
    return "\n\n".join(parts) + "\n"


def _prose(lines: Sequence[str]) -> str:
    """What a recipe says of itself, its commands in blocks of their own."""
    parts = []
    for are_commands, group in itertools.groupby(lines, lambda line: line.startswith("polyvigil ")):
        text = "\n".join(group).strip()
        parts.append(f"```text\n{text}\n```" if are_commands else text.replace("<", "&lt;"))
    return "\n\n".join(filter(None, parts))


def decisions_page(root: Path, decisions: Mapping[str, str]) -> str:
    """The list of decisions, by their first lines."""
    parts = [
        "# Decisions",
        "One page for each decision that was hard: what was decided, why, what was measured, what was left out. "
        "[How decisions are made](../governance.md) says who makes them, and when a page is written.",
    ]
    listed = []
    for path, name in sorted(decisions.items()):
        title = (root / path).read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        listed.append(f"- [{title}]({Path(name).name})")
    return "\n\n".join([*parts, "\n".join(listed)]) + "\n"
