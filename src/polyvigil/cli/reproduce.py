"""``polyvigil reproduce``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Device, ForDevice, Offline, needs_dry_run
from polyvigil.cli.output import Answer, Output, graceful_stop
from polyvigil.cli.together import local_device, together
from polyvigil.errors import RecipeError

REJECTS = "reproduction.rejects.jsonl"

if TYPE_CHECKING:
    from polyvigil.learn.launch import Launch
    from polyvigil.workflows.train import TrainingData
    from polyvigil_gladiators.cost import Cost
    from polyvigil_gladiators.plan import Row, Step
    from polyvigil_gladiators.posts import Files
    from polyvigil_gladiators.result import Reproduction
    from polyvigil_gladiators.run import Done
    from polyvigil_gladiators.survey import Environment, StepStatus


class ScaleOption(StrEnum):
    """How large."""

    full = "full"
    tiny = "tiny"


RowNames = Annotated[
    str,
    typer.Argument(
        metavar="TABLE", help="table1 to table5, thresholds, text, all; or one row, as ensemble, mixed or farsi-v1."
    ),
]


@command(
    examples=(
        "polyvigil reproduce all --data smm4h --models models -o reproduction",
        "polyvigil reproduce table3 --data smm4h --test test.csv --models models -o reproduction",
    ),
)
@together
def reproduce(
    out: Output,
    table: RowNames,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with train*.csv and dev*.csv, or a file with a split column. Repeatable."),
    ] = None,
    train: Annotated[list[Path] | None, typer.Option(help="A file of train posts. Repeatable.")] = None,
    dev: Annotated[list[Path] | None, typer.Option(help="A file of dev posts. Repeatable.")] = None,
    test: Annotated[
        list[Path] | None, typer.Option(help="The task's test posts; Table 3 needs their labels. Repeatable.")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="Models in folders named as on the hub, such as xlm-roberta-large; made if it is not there."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where all that is made goes.")] = Path("reproduction"),
    scale: Annotated[
        ScaleOption, typer.Option(help="tiny: random models and synthetic posts, to see that all paths run.")
    ] = ScaleOption.full,
    partial: Annotated[
        bool, typer.Option("--partial", help="Run the rows that can be run, where others cannot.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and what it would take.")] = False,
    device: Device = "auto",
    for_device: ForDevice = "",
    offline: Offline = False,
) -> Answer:
    """Run the paper's approaches again: train what is missing, and print its values beside the measured ones.

    Everything that a row needs is looked at before the first step; where a row cannot run, nothing is begun (exit code
    1), unless --partial. Finished steps are kept in OUT and not done again; ended at any moment, the same command goes
    on from there. A model that is not in --models is fetched from the hub, unless --offline or the scale is tiny.
    """
    from polyvigil.learn.launch import launched
    from polyvigil_gladiators.plan import rows_of, steps_of
    from polyvigil_gladiators.posts import Files
    from polyvigil_gladiators.preconditions import check_output
    from polyvigil_gladiators.survey import survey

    rows = rows_of(table)
    needs_dry_run(for_device, dry_run=dry_run)
    check_output(output)
    files = Files(tuple(data or ()), tuple(train or ()), tuple(dev or ()), tuple(test or ()))
    environment = _environment(out, files, models, output, scale, offline=offline)
    if models and not models.is_dir() and not dry_run:
        models.mkdir(parents=True, exist_ok=True)
        out.note(f"{models} is made, and is empty: put folders of models there, or let them be fetched")
    statuses = survey(steps_of(rows), environment, processes=launched().size)
    _warn(out, environment, statuses)
    device = local_device(launched(), device)
    if dry_run:
        return _plan(out, rows, statuses, environment, device=device, for_device=for_device)
    statuses, obstacles = _open_models(out, rows, statuses, environment, partial=partial)
    _wait_for_all_processes(launched())  # before anything is written: all processes see the same steps as missing
    if obstacles and not partial:
        return _refusal(rows, statuses, environment, obstacles)
    results = _run(out, rows, statuses, environment, obstacles, device=device)
    return Answer({}, ()) if launched().rank else _answer(out, rows, environment, results, obstacles)


def _warn(out: Output, environment: Environment, statuses: Mapping[Step, StepStatus]) -> None:
    """What to know of the posts and of what earlier runs left behind."""
    from polyvigil_gladiators.posts import differences
    from polyvigil_gladiators.survey import leftovers
    from polyvigil_gladiators.tiny import FULL

    if environment.scale is FULL and (unlike := differences(environment.data)):
        out.warn(f"these are other posts than the paper's, and no value will be compared: {'; '.join(unlike)}")
    for path in leftovers(statuses, environment.output):
        out.note(f"{path}: from other posts, models or settings; remove it if it is of no more use")


def _plan(
    out: Output,
    rows: Sequence[Row],
    statuses: Mapping[Step, StepStatus],
    environment: Environment,
    *,
    device: str,
    for_device: str,
) -> Answer:
    """Every step and what it would take."""
    from polyvigil.workflows.learners import RunOptions
    from polyvigil_gladiators.cost import costs
    from polyvigil_gladiators.survey import row_obstacles

    run_options = RunOptions(device=device, for_device=for_device, offline=not environment.models.hub)
    expected = costs(statuses, environment, options=run_options, log=out.log)
    return plan_answer(statuses, expected, rows, row_obstacles(rows, statuses, environment))


def _open_models(
    out: Output, rows: Sequence[Row], statuses: Mapping[Step, StepStatus], environment: Environment, *, partial: bool
) -> tuple[dict[Step, StepStatus], dict[str, str]]:
    """The steps with their models opened, fetched where need be, and why rows cannot run."""
    from polyvigil.learn.launch import launched
    from polyvigil_gladiators.plan import steps_of
    from polyvigil_gladiators.preconditions import has_unfetched, open_models
    from polyvigil_gladiators.survey import row_obstacles, survey

    opened = open_models(statuses, log=out.log)
    obstacles = row_obstacles(rows, opened, environment)
    if has_unfetched(opened) and (partial or not obstacles):  # nothing is fetched for rows that are refused
        fetched = survey(steps_of(rows), environment, fetch=True, processes=launched().size)
        opened = open_models(fetched, log=out.log)
        obstacles = row_obstacles(rows, opened, environment)
    return opened, obstacles


def _refusal(
    rows: Sequence[Row],
    statuses: Mapping[Step, StepStatus],
    environment: Environment,
    obstacles: Mapping[str, str],
) -> Answer:
    """Nothing was begun, and why."""
    from polyvigil_gladiators.report import reproduction
    from polyvigil_gladiators.run import Done

    done = {step: Done(status) for step, status in statuses.items()}
    return Answer(reproduction(rows, environment, done, obstacles=obstacles), obstacle_lines(obstacles), 1)


def _run(
    out: Output,
    rows: Sequence[Row],
    statuses: Mapping[Step, StepStatus],
    environment: Environment,
    obstacles: Mapping[str, str],
    *,
    device: str,
) -> Mapping[Step, Done]:
    """Run the steps that are missing."""
    from polyvigil.workflows.learners import RunOptions
    from polyvigil_gladiators.preconditions import check_room
    from polyvigil_gladiators.run import StepOptions, run_steps
    from polyvigil_gladiators.survey import without_idle

    statuses = without_idle(statuses, rows, obstacles)
    check_room(statuses, environment.output)
    _write_rejects(out, environment.data, environment.output)
    started = time.monotonic()
    with graceful_stop(out) as stop:
        run_options = RunOptions(
            device=device,
            offline=not environment.models.hub,
            progress=lambda done, of, rate, left: out.steps("training", started, done, of, rate, left),
            counted=lambda what, done, of: out.count(what, started, done, of),
            stop=stop,
        )
        options = StepOptions(
            run_options,
            log=out.log,
            progress=lambda what, of, start, share: out.progress(what, start, round(share * of), 0, share),
        )
        results = run_steps(statuses, environment, options=options)
    out.end_progress()
    return results


def _answer(
    out: Output,
    rows: Sequence[Row],
    environment: Environment,
    results: Mapping[Step, Done],
    obstacles: Mapping[str, str],
) -> Answer:
    """The paper's values beside the measured ones, written to the output folder too."""
    from polyvigil_gladiators.report import reproduction, write

    result = reproduction(rows, environment, results, obstacles=obstacles, log=out.log)
    lines = [*reproduction_lines(result), *(f"-> {path}" for path in write(result, environment.output))]
    return Answer(result, lines, 1 if result.failed else 0)


def _environment(
    out: Output, files: Files, models: Path | None, output: Path, scale: ScaleOption, *, offline: bool
) -> Environment:
    """The posts and models to work with; at the tiny scale those that are not given are made."""
    from polyvigil.learn.launch import launched
    from polyvigil_gladiators.models import ModelFolder
    from polyvigil_gladiators.posts import Files
    from polyvigil_gladiators.survey import Environment
    from polyvigil_gladiators.test_posts import check_unseen, read_test
    from polyvigil_gladiators.tiny import FULL, TINY, one_thread, tiny_models, tiny_posts

    tiny = scale is ScaleOption.tiny
    has_posts = bool(files.data or files.train or files.dev)
    if models and models.exists() and not models.is_dir():
        raise RecipeError("is no folder", where=f"--models {models}", hint="give a folder of model folders")
    if not tiny and not has_posts:
        raise RecipeError(
            "which posts?",
            where="--data",
            hint="give the shared task's, with --data or --train and --dev; or --scale tiny",
        )
    if tiny:
        one_thread()
    if tiny and not (has_posts and models):
        out.log("making synthetic posts and models with random weights")
    if launched().rank:
        _wait_for_all_processes(launched())  # the first process makes them
    posts = files if has_posts else Files(data=(tiny_posts(output / "tiny" / "data"),), test=files.test)
    folder = models or (tiny_models(output / "tiny" / "models") if tiny else None)
    if launched().size > 1 and not launched().rank:
        _wait_for_all_processes(launched())
    resolved = posts.resolved
    data, sample = _training_data(out, resolved), read_test(resolved.test)
    if sample:
        check_unseen(sample, data.train, data.dev)
    return Environment(output, TINY if tiny else FULL, ModelFolder(folder, hub=not (tiny or offline)), data, sample)


def _wait_for_all_processes(launch: Launch) -> None:
    if launch.size > 1:
        from polyvigil.learn.ranks import this_rank

        this_rank().wait()


def _training_data(out: Output, files: Files) -> TrainingData:
    from polyvigil_gladiators.posts import read

    data = read(files)
    for note in data.notes:
        out.note(note)
    if data.row_errors:
        out.warn(f"{len(data.row_errors):,} rows set aside; they are kept in {REJECTS} beside the results")
    return data


def _write_rejects(out: Output, data: TrainingData, output: Path) -> None:
    from polyvigil.data.atomic import write_whole
    from polyvigil.data.read import reject_line

    if data.row_errors and not out.mute:
        lines = "".join(reject_line(name, row_error) for name, row_error in data.row_errors)
        write_whole(output / REJECTS, lines, replace=True)


def plan_answer(
    statuses: Mapping[Step, StepStatus],
    costs: Mapping[Step, Cost],
    requested: Sequence[Row],
    obstacles: Mapping[str, str],
) -> Answer:
    """Each step: how far it is, for which rows, and what it would take."""
    from polyvigil.cli.views.table import duration, size, table
    from polyvigil_gladiators.plan import users

    rows, data, notes = [], [], []
    for step, status in statuses.items():
        cost = costs.get(step)
        note = status.reason or (cost.note if cost else "")
        if note:
            notes.append(f"{step.name}: {note}")
        rows.append((step.name, ", ".join(users(step, requested)), status.state, *_cells(cost)))
        data.append(
            {
                "name": step.name,
                "users": users(step, requested),
                "state": status.state,
                "reason": status.reason,
                "output": str(status.output),
                "cost": cost and cost.model_dump(mode="json"),
            }
        )
    sizes = ("parameters", "time", "memory", "disk meanwhile", "after", "download")
    header = ("step", "for", "state", "posts", "steps", *sizes)
    seconds = [cost.seconds for cost in costs.values() if cost.seconds is not None]
    after = [cost.disk_after for cost in costs.values() if cost.disk_after is not None]
    downloads = {name: number for cost in costs.values() for name, number in cost.downloads.items()}
    fetched = [f"to be fetched: about {size(sum(downloads.values()))}, {', '.join(downloads)}"] if downloads else []
    lines = [
        table(header, rows, left=3),
        "",
        *notes,
        *(f"cannot run: {', '.join(keys)}: {reason}" for reason, keys in _by_reason(obstacles).items()),
        *fetched,
        f"in all about {duration(sum(seconds))} and {size(sum(after))} for what is known; nothing was fetched or "
        "trained",
    ]
    return Answer({"steps": data, "obstacles": dict(obstacles)}, lines)


def obstacle_lines(obstacles: Mapping[str, str]) -> list[str]:
    """Why nothing was begun: the rows that cannot run, those with the same reason on one line."""
    noun = "row" if len(obstacles) == 1 else "rows"
    return [
        f"{len(obstacles)} {noun} cannot run, so nothing was begun:",
        "",
        *(f"{', '.join(keys)}: {reason}" for reason, keys in _by_reason(obstacles).items()),
        "",
        "mend that, or run the other rows: --partial",
    ]


def _by_reason(obstacles: Mapping[str, str]) -> dict[str, list[str]]:
    """The rows that cannot run, by why."""
    reasons: dict[str, list[str]] = {}
    for key, reason in obstacles.items():
        reasons.setdefault(reason, []).append(key)
    return reasons


def reproduction_lines(reproduction: Reproduction) -> list[str]:
    """Table by table, with notes, and what the verdicts mean."""
    from polyvigil.cli.views.table import table
    from polyvigil_gladiators.report import LEFT, cautions, columns, title
    from polyvigil_gladiators.result import VERDICTS

    lines = [*cautions(reproduction), ""] if cautions(reproduction) else []
    for name in dict.fromkeys(metric.table for metric in reproduction.figures):
        shown = columns(reproduction, name)
        lines += [title(name), "", table(shown.header, shown.rows, left=LEFT), ""]
        lines += [f"({number}) {note}" for number, note in enumerate(shown.notes, start=1)]
        lines += [""] * bool(shown.notes)
    there = {metric.verdict for metric in reproduction.figures}
    lines += [f"{name}: {what}" for name, what in VERDICTS.items() if name in there]
    return [*lines, ""]


def _cells(cost: Cost | None) -> tuple[str, ...]:
    from polyvigil.cli.views.table import duration, size

    if cost is None:
        return ("",) * 8
    return (
        "" if cost.posts is None else f"{cost.posts:,}",
        "" if cost.steps is None else f"{cost.steps:,}",
        "" if cost.parameters is None else f"{cost.parameters / 1e6:,.1f}M",
        "" if cost.seconds is None else duration(cost.seconds),
        "" if cost.memory is None else f"{cost.memory / 1e9:.1f} GB",
        "" if cost.disk_meanwhile is None else size(cost.disk_meanwhile),
        "" if cost.disk_after is None else size(cost.disk_after),
        size(sum(cost.downloads.values())) if cost.downloads else "",
    )
