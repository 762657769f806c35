"""A command that several processes run as one, started by torchrun or ``accelerate launch``: one of them speaks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer

from polyvigil.cli.output import Answer, Output
from polyvigil.errors import PolyvigilError, require
from polyvigil.learn.launch import Launch, launched

_INTERRUPTED = 130


def local_device(launch: Launch, device: str) -> str:
    """The device of this process; ``device`` is the user's choice. Raises RecipeError (learn.join)."""
    if launch.size == 1:
        return device
    from polyvigil.learn import process_group

    return process_group.local_device(launch, device)


def together(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """``function`` as each process of a launch runs it; one process alone runs it as it is.

    The first process speaks, the others are mute. An error is shown once, by the first process or, where that does not
    fail, by the one that does; all processes that live to see it end with its exit code. None ends before the first
    process has its answer.
    """

    @functools.wraps(function)
    def run(out: Output, **options: Any) -> Answer:
        launch = launched()
        return _as_one(function, out, launch, options) if launch.size > 1 else function(out, **options)

    return run


def _as_one(function: Callable[..., Answer], out: Output, launch: Launch, options: dict[str, Any]) -> Answer:
    require("torch", extra="encoders", needed_by="a training in several processes", where="RANK and WORLD_SIZE")
    from polyvigil.learn.process_group import process_group, shutdown_last
    from polyvigil.learn.ranks import this_rank

    out.mute = launch.rank > 0
    with process_group(launch) as election:
        try:
            answer = function(out, **options)
            if not launch.rank:
                shutdown_last()
            this_rank().wait()
        except BaseException as error:
            code = election.elect(_exit_code(error))
            if code is None:
                raise
            raise typer.Exit(code) from error
    return answer


def _exit_code(error: BaseException) -> int:
    if isinstance(error, PolyvigilError):
        return error.exit_code
    return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
