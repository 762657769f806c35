"""The paper's approaches run again, from top to bottom.

In: rows of its tables, posts and models. Out: each value of the paper beside the measured one, as files and as a
`Reproduction`. Look at every step (plan_reproduction), open the models (open_models), do what is missing (run_plan),
measure and write (measure_plan). Nothing is begun before it is known that it can end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyvigil.data.atomic import write_whole
from polyvigil.data.read import reject_line
from polyvigil.learn.launch import launched
from polyvigil.workflows.learners import Log
from polyvigil_gladiators import preconditions
from polyvigil_gladiators.environment import Environment, open_environment, wait_for_all_processes
from polyvigil_gladiators.plan import Row, Step, rows_of, steps_of
from polyvigil_gladiators.posts import Files
from polyvigil_gladiators.report import reproduction, write
from polyvigil_gladiators.result import Reproduction
from polyvigil_gladiators.run import Done, StepOptions, run_steps
from polyvigil_gladiators.survey import StepStatus, row_obstacles, survey, without_idle

REJECTS = "reproduction.rejects.jsonl"


@dataclass(frozen=True, slots=True)
class ReproductionPlan:
    """The rows to run, how far each of their steps is, and the ``obstacles``: why rows cannot run, by their names."""

    rows: tuple[Row, ...]
    environment: Environment
    statuses: Mapping[Step, StepStatus]
    obstacles: Mapping[str, str]


def plan_reproduction(
    table: str,
    files: Files,
    *,
    models: Path | None,
    output: Path,
    scale: Literal["full", "tiny"],
    offline: bool,
    log: Log = lambda _: None,
) -> ReproductionPlan:
    """Look at all that the rows of ``table`` need; nothing is fetched or trained.

    Raises RecipeError for an unknown table or row, DataError for an output that holds something else, and as
    open_environment.
    """
    rows = rows_of(table)
    preconditions.check_output(output)
    environment = open_environment(files, models=models, output=output, scale=scale, offline=offline, log=log)
    statuses = survey(steps_of(rows), environment, processes=launched().size)
    return ReproductionPlan(rows, environment, statuses, row_obstacles(rows, statuses, environment))


def open_models(plan: ReproductionPlan, *, partial: bool, log: Log = lambda _: None) -> ReproductionPlan:
    """The plan once every model was opened, those of the hub fetched; one that cannot be opened is an obstacle.

    Without ``partial`` nothing is fetched where a row cannot run, since then nothing will be begun.
    """
    rows, environment = plan.rows, plan.environment
    opened = preconditions.open_models(plan.statuses, log=log)
    obstacles = row_obstacles(rows, opened, environment)
    if preconditions.has_unfetched(opened) and (partial or not obstacles):
        fetched = survey(steps_of(rows), environment, fetch=True, processes=launched().size)
        opened = preconditions.open_models(fetched, log=log)
        obstacles = row_obstacles(rows, opened, environment)
    wait_for_all_processes()  # before anything is written: all processes see the same steps as missing
    return dataclasses.replace(plan, statuses=opened, obstacles=obstacles)


def not_begun(plan: ReproductionPlan) -> Reproduction:
    """What is known where nothing was begun."""
    done = {step: Done(status) for step, status in plan.statuses.items()}
    return reproduction(plan.rows, plan.environment, done, obstacles=plan.obstacles)


def run_plan(plan: ReproductionPlan, *, options: StepOptions) -> dict[Step, Done]:
    """Do the steps that are missing and that a row which can run takes.

    Raises TrainingError where the disk is too small, and as run_steps.
    """
    environment = plan.environment
    statuses = without_idle(plan.statuses, plan.rows, plan.obstacles)
    preconditions.check_room(statuses, environment.output)
    if environment.data.row_errors and not launched().rank:
        lines = "".join(reject_line(name, row_error) for name, row_error in environment.data.row_errors)
        write_whole(environment.output / REJECTS, lines, replace=True)
    return run_steps(statuses, environment, options=options)


def measure_plan(plan: ReproductionPlan, done: Mapping[Step, Done], *, log: Log = lambda _: None) -> Reproduction:
    """Measure what the steps have made, and write it to the output folder beside the paper's values (report.write)."""
    result = reproduction(plan.rows, plan.environment, done, obstacles=plan.obstacles, log=log)
    write(result, plan.environment.output)
    return result
