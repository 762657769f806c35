"""The program: its commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Annotated, Any

import typer
import typer.core

from polyvigil import __version__
from polyvigil.cli.commands import COMMANDS, Entry, Group
from polyvigil.cli.output import escaped, escaped_json
from polyvigil.cli.signals import interrupt_code, interrupted_by_signals
from polyvigil.errors import InterruptError, PolyvigilError

_UsageError: Any = typer.BadParameter.__bases__[0]  # click's, wherever this version of typer keeps it


class LazyGroup(typer.core.TyperGroup):
    """A group whose help and completion come from a table: only the module of the chosen command is imported."""

    def __init__(self, *, table: Mapping[str, Entry | Group] = COMMANDS, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._table = table
        for name, entry in table.items():
            self.add_command(typer.core.TyperCommand(name, short_help=entry.summary), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The chosen command itself, where the others are known by their line in help alone."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and self._load(ctx, listed.name or ""), rest

    def _load(self, ctx: Any, name: str) -> Any:
        entry = self._table[name]
        if isinstance(entry, Group):
            texts = {"help": entry.help, "short_help": entry.summary}
            return LazyGroup(name=name, table=entry.entries, no_args_is_help=True, rich_markup_mode=None, **texts)
        importlib.import_module(f"polyvigil.cli.{entry.module}")
        from polyvigil.cli.command import build_command, registered_command

        return build_command(registered_command(name if ctx.parent is None else f"{self.name} {name}"))


app = typer.Typer(
    name="polyvigil",
    cls=LazyGroup,
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"polyvigil {__version__}")
        raise typer.Exit


@app.callback(
    help="\b\nExamples:\n  polyvigil demo\n  polyvigil score BUNDLE posts.csv -o scored.csv\n\n"
    "Find adverse drug events in posts of many languages. A triage aid, never a medical or regulatory decision.\n\n"
    "New here? polyvigil help questions; what the columns and flags of a scored file mean: polyvigil help columns, "
    "polyvigil help flags.\n\n"
    "Exit codes: 0 ok, 1 run-time failure, 2 usage, recipe or data, 3 a gate said no, 4 bad bundle, "
    "5 rows set aside (with --fail-on-quarantine), 130 interrupted (143 by SIGTERM, 129 by SIGHUP)."
)
def _program(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit: no traceback without ``--debug``."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    _open_closed_streams()
    _speak_utf8()
    with interrupted_by_signals():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        result = app(arguments, standalone_mode=False, prog_name="polyvigil")
        return result if isinstance(result, int) else 0
    except InterruptError as error:
        return _fail(arguments, error, error.code, error.message, error.hint, error.where, interrupt_code())
    except PolyvigilError as error:
        return _fail(arguments, error, error.code, error.message, error.hint, error.where, error.exit_code)
    except (typer.Abort, KeyboardInterrupt) as error:  # before the command itself began
        return _fail(arguments, error, "interrupted", "interrupted", "run the same command again", "", interrupt_code())
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        hint = f"see: {context.command_path if context else 'polyvigil'} --help"
        return _fail(arguments, error, "usage", error.format_message(), hint, "", 2)
    except OSError as error:
        return _fail(arguments, error, "system", *_system_error(error), 1)
    except MemoryError as error:
        return _fail(arguments, error, "memory", "out of memory", "use fewer or shorter posts at once", "", 1)
    except Exception as error:  # the last resort: an error nobody foresaw still gives a message and a code
        message = f"unexpected {type(error).__name__}: this is a fault of the program"
        return _fail(arguments, error, "internal", message, "run again with --debug and report what it prints", "", 1)


def _fail(
    arguments: list[str], error: BaseException, code: str, message: str, hint: str, where: str, exit_code: int
) -> int:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--debug" in options:
        traceback.print_exception(error)
    if "--json" in options:
        details = {"code": code, "message": message, "hint": hint, "where": where}
        typer.echo(escaped_json({"ok": False, "error": details}))
    else:
        typer.echo(escaped(f"error: {where + ': ' if where else ''}{message}"), err=True)
        if hint:
            typer.echo(escaped(f"  next: {hint}"), err=True)
    return exit_code


def _system_error(error: OSError) -> tuple[str, str, str]:
    """Message, hint and place of an error of the operating system."""
    where = str(error.filename or "")
    hints = {
        errno.ENOSPC: "free some space and run the same command again; nothing half-written is left behind",
        errno.EACCES: "check the permissions",
        errno.EROFS: "choose a place that can be written to",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.EMFILE: "close other programs or raise the limit of open files",
    }
    return error.strerror or type(error).__name__, hints.get(error.errno or 0, "check the path and the disk"), where


def _open_closed_streams() -> None:
    """Streams that the shell has closed (``2>&-``) are as if of /dev/null, so that no file takes their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - lives as long as the program


def _speak_utf8() -> None:
    """Posts come in all scripts; a terminal or pipe in another encoding must not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
