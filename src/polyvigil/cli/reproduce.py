"""``polyvigil reproduce``."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.options import Device, ForDevice, Offline, needs_dry_run
from polyvigil.cli.output import Answer, Output, asked_to_stop, command
from polyvigil.errors import DataError, RecipeError

if TYPE_CHECKING:
    from polyvigil.recipe.run import Material


class ScaleOption(StrEnum):
    """How large."""

    full = "full"
    tiny = "tiny"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(
        app,
        examples=(
            "polyvigil reproduce all --data smm4h --models models -o reproduction",
            "polyvigil reproduce ensemble --scale tiny -o reproduction",
        ),
    )(reproduce)


def reproduce(
    out: Output,
    which: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="table2, table3, table4, table5, all; or one row of table2, as ensemble or mixed.",
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="A folder with train.csv and dev.csv, or one file with a split column.")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="Models in folders named as on the hub, such as xlm-roberta-large; made if it is not there."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where all that is made goes.")] = Path("reproduction"),
    scale: Annotated[
        ScaleOption, typer.Option(help="tiny: random models and synthetic posts, to see that all paths run.")
    ] = ScaleOption.full,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and what it would take.")] = False,
    device: Device = "auto",
    for_device: ForDevice = "",
    offline: Offline = False,
) -> Answer:
    """Run the paper's approaches again: train what is missing, and print its figures beside the measured ones.

    Finished steps are kept in OUT and not done again; ended at any moment, the same command goes on from there.
    A model that is not in --models is fetched from the hub, unless --offline or the scale is tiny.
    """
    from polyvigil.cli.reproduce_tables import plan_answer, reproduction_lines
    from polyvigil.learn.launch import launched
    from polyvigil.recipe.learners import Machine
    from polyvigil.reproduce.cost import costs
    from polyvigil.reproduce.models import Shelf
    from polyvigil.reproduce.plan import named, steps
    from polyvigil.reproduce.posts import differences
    from polyvigil.reproduce.report import reproduction, write
    from polyvigil.reproduce.run import run_steps
    from polyvigil.reproduce.scale import FULL, TINY
    from polyvigil.reproduce.survey import Bench, leftovers, survey
    from polyvigil.reproduce.tiny_scale import one_thread, tiny_models, tiny_posts

    wanted = named(which)
    if launched().size > 1:
        raise RecipeError("reproduce is one process", where="torchrun", hint="start it without torchrun")
    needs_dry_run(for_device, dry_run=dry_run)
    if models and models.exists() and not models.is_dir():
        raise RecipeError("is no folder", where=f"--models {models}", hint="give a folder of model folders")
    if models and not models.is_dir() and not dry_run:
        models.mkdir(parents=True)
        out.note(f"{models} is made, and is empty: put folders of models there, or let them be fetched")
    if output.exists() and not output.is_dir():
        raise DataError("is no folder", where=str(output), hint="choose another: -o FOLDER")
    tiny = scale is ScaleOption.tiny
    if not tiny and data is None:
        raise RecipeError("which posts?", where="--data", hint="give the shared task's; or --scale tiny")
    if tiny:
        one_thread()
    if tiny and not (data and models):
        out.say("making synthetic posts and models with random weights")
    posts = data or tiny_posts(output / "tiny" / "data")
    shelf = Shelf(models or (tiny_models(output / "tiny" / "models") if tiny else None), hub=not (tiny or offline))
    bench = Bench(output, TINY if tiny else FULL, shelf, _material(out, posts, output))
    if not tiny and (unlike := differences(bench.material)):
        out.warn(f"these are other posts than the paper's, and no figure will be compared: {'; '.join(unlike)}")
    standings = survey(steps(wanted), bench, fetch=not dry_run)
    for path in leftovers(standings, output):
        out.note(f"{path}: from other posts, models or settings; remove it if it is of no more use")
    if dry_run:
        machine = Machine(device=device, for_device=for_device, offline=not shelf.hub)
        return plan_answer(standings, costs(standings, bench, machine=machine, say=out.say), wanted)
    started = time.monotonic()
    with asked_to_stop(out) as stop:
        machine = Machine(
            device=device,
            offline=not shelf.hub,
            progress=lambda done, of, rate, left: out.steps("training", started, done, of, rate, left),
            stop=stop,
        )
        done = run_steps(
            standings,
            bench,
            machine=machine,
            say=out.say,
            translating=lambda share, of, since: out.progress("translating", since, round(share * of), 0, share),
        )
    out.end_progress()
    told = reproduction(wanted, bench, done, say=out.say)
    paths = write(told, output)
    return Answer(told, [*reproduction_lines(told), *(f"-> {path}" for path in paths)], 1 if told.failed else 0)


def _material(out: Output, data: Path, output: Path) -> Material:
    from polyvigil.data.atomic import write_whole
    from polyvigil.data.read import reject_line
    from polyvigil.reproduce.posts import read

    material = read(data)
    for note in material.notes:
        out.note(note)
    if material.faults:
        rejects = output / "rejects.jsonl"
        write_whole(rejects, "".join(reject_line(name, fault) for name, fault in material.faults))
        out.warn(f"{len(material.faults):,} rows set aside -> {rejects}")
    return material
