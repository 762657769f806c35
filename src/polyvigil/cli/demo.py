"""``polyvigil demo``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Replace
from polyvigil.cli.output import Answer, Output


@command(examples=("polyvigil demo", "polyvigil demo -o /tmp/tour --json"))
def demo(
    out: Output,
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder, or an earlier demo's.")] = Path("demo"),
    replace: Replace = False,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic posts and of the training.")] = 42,
) -> Answer:
    """Do the main job once on synthetic posts in seven languages: check, train, evaluate, score, report."""
    from polyvigil.cli.views.evaluation import evaluation_lines
    from polyvigil.demo import run_demo

    result = run_demo(output, seed=seed, replace=replace, program=_program(), command=out.command_line, log=out.log)
    lines = [
        "",
        result.note,
        "",
        *evaluation_lines(result.evaluation),
        "",
        f"report: {result.report}",
        "",
        "next:",
        *(f"  {step}" for step in result.next_steps),
    ]
    return Answer(result, lines)


def _program() -> str:
    """How a shell here calls this program: by name if that finds it, else by the path it was started from."""
    name = Path(sys.argv[0]).name
    executable = shutil.which(name)
    return name if executable and Path(executable).resolve() == Path(sys.argv[0]).resolve() else sys.argv[0]
