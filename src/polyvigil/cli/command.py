"""Registration of commands: ``@command`` puts a function into the table that the program's command line is built from.

In comes a function ``(out, ...) -> Answer`` whose parameters are typer's. Out goes a command of the function's name,
with the options that every command has (``--json -q --debug``) and two examples in its help; its answer goes to stdout.
The function is returned as it is, so that other commands may call it. A command is registered when its module is
imported, which the program does for the chosen command alone (cli.main).
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import typer

from polyvigil.cli.options import POSTS_OPTIONS, OrOnHub, PostsInput, PostsOptions
from polyvigil.cli.output import Answer, Output, command_line
from polyvigil.errors import InterruptError
from polyvigil.glossary import meanings
from polyvigil.progress import listening

Function = TypeVar("Function", bound=Callable[..., Answer])

_SHARED = {
    "json_": (Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="No messages, only warnings and the answer.")], False),
    "debug": (Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")], False),
}


@dataclass(frozen=True, slots=True)
class RegisteredCommand:
    """A command as typer takes it; ``summary`` is the first line of the function's docstring."""

    name: str
    run: Callable[..., None]
    summary: str
    help: str


_registered: dict[str, RegisteredCommand] = {}
"""Of each command whose module is imported, by its full name, as ``audit drift``."""


def command(
    *, examples: tuple[str, str], group: str = "", heartbeat: bool = True, explains: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """Register ``function(out, ...) -> Answer`` as a command of its name, with the shared options and two examples.

    ``explains``: words and questions whose meaning (glossary) its help gives below the rest. ``group``: the group of
    commands it belongs to, as ``audit``; empty for none. ``heartbeat``: whether a long silence is broken
    (Output.heartbeat); not where a command waits for others, as a service does.
    """

    def register(function: Function) -> Function:
        name = f"{group} {function.__name__}".strip()
        description = inspect.cleandoc(function.__doc__ or "")
        shown = "\n".join(f"  {example}" for example in examples)
        _registered[name] = RegisteredCommand(
            name=function.__name__,
            run=_runner(function, name, heartbeat=heartbeat),
            summary=description.split("\n", maxsplit=1)[0],
            help="\n\n".join([f"\b\nExamples:\n{shown}", description, *meanings(*explains)]),
        )
        return function

    return register


def registered_command(name: str) -> RegisteredCommand:
    """The command of this full name, whose module has been imported."""
    return _registered[name]


def build_command(registered: RegisteredCommand) -> Any:
    """The command as a click command."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=registered.name, help=registered.help, short_help=registered.summary)(registered.run)
    return typer.main.get_command(app)


def _runner(function: Callable[..., Answer], name: str, *, heartbeat: bool) -> Callable[..., None]:
    """``function`` as typer calls it: with the shared options, its answer written, its exit code raised."""
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    def run(*, context: typer.Context, json_: bool, quiet: bool, debug: bool, **options: Any) -> None:  # noqa: ARG001 - main reads --debug
        out = Output(json=json_, quiet=quiet, command_line=command_line(context))
        try:  # here, since typer has its own mind about these two
            with out.heartbeat() if heartbeat else nullcontext(), listening(out.listen):
                answer = function(out, **_arguments(parameters, _with_folders(parameters, options, out)))
            out.give(name, answer)
        except KeyboardInterrupt as error:
            message = "interrupted; nothing half-written is left behind"
            raise InterruptError(message, hint=f"go on with: {_again(out, options)}") from error
        except InterruptError as error:
            if error.hint.startswith("run the same command again"):
                error.hint = f"go on with: {_again(out, options)}"
            raise
        except BrokenPipeError as error:  # whoever read stdout has gone, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from error
        if answer.exit_code:
            raise typer.Exit(answer.exit_code)

    expanded = [
        _keyword("context", typer.Context),
        *(one for parameter in parameters for one in _expanded(parameter)),
        *(_keyword(key, annotation, default) for key, (annotation, default) in _SHARED.items()),
    ]
    run.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in expanded}
    return run


def _again(out: Output, options: dict[str, Any]) -> str:
    """The command line by which an interrupted command goes on; what it has kept is found by its output's name."""
    return out.command_line + (" --replace" if options.get("replace") else "")


def _expanded(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """A parameter as typer's: one of type PostsInput becomes its options, another is taken as it is."""
    fields = _posts_fields(parameter)
    if fields is None:
        return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    return [_keyword(field, *POSTS_OPTIONS[field]) for field in fields]


def _with_folders(parameters: list[inspect.Parameter], options: dict[str, Any], out: Output) -> dict[str, Any]:
    """``options`` in which each bundle that is named on the hub is its folder, fetched if need be."""
    names = [parameter.name for parameter in parameters if OrOnHub in get_args(parameter.annotation)]
    if not names:
        return options
    from polyvigil.bundle.hub import bundle_folder

    def local(value: Any) -> Any:
        return [local(each) for each in value] if isinstance(value, list) else bundle_folder(value, log=out.log)

    return options | {name: local(options[name]) for name in names if options[name]}


def _arguments(parameters: list[inspect.Parameter], options: dict[str, Any]) -> dict[str, Any]:
    """What typer parsed as the arguments of the function: the options of posts as one PostsInput."""
    arguments = dict(options)
    for parameter in parameters:
        fields = _posts_fields(parameter)
        if fields is not None:
            given = {field: arguments.pop(field) for field in fields}
            for field in ("columns", "settings"):
                given[field] = tuple(given[field] or ())
            further = (value for key, value in options.items() if key not in given)
            arguments[parameter.name] = PostsInput(**given, arguments=tuple(_texts(further)))
    return arguments


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """All words and paths among the values of a command line."""
    for value in values:
        if isinstance(value, str | Path) and str(value):
            yield str(value)
        elif isinstance(value, list | tuple):
            yield from _texts(value)


def _posts_fields(parameter: inspect.Parameter) -> tuple[str, ...] | None:
    """The fields of PostsInput that a parameter stands for; None for a parameter of another type."""
    return next((part.fields for part in get_args(parameter.annotation) if isinstance(part, PostsOptions)), None)


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
