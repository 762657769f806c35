"""``polyvigil reproduce``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Device, ForDevice, Offline, needs_dry_run
from polyvigil.cli.output import Answer, Output, training_options
from polyvigil.cli.together import local_device, together
from polyvigil.cli.views.paper import PaperFormat, TableFormat, check_table
from polyvigil.errors import require
from polyvigil.learn.launch import launched

if TYPE_CHECKING:
    from polyvigil_gladiators.reproduce import ReproductionPlan


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
    form: PaperFormat = None,
) -> Answer:
    """Run the paper's approaches again: train what is missing, and print its values beside the measured ones.

    Everything that a row needs is looked at before the first step; where a row cannot run, nothing is begun (exit code
    1), unless --partial. Finished steps are kept in OUT and not done again; ended at any moment, the same command goes
    on from there. A model that is not in --models is fetched from the hub, unless --offline or the scale is tiny.
    """
    require("torch", "transformers", extra="encoders", needed_by="reproducing")
    from polyvigil_gladiators.posts import Files
    from polyvigil_gladiators.reproduce import plan_reproduction

    check_table(out, form)
    needs_dry_run(for_device, dry_run=dry_run)
    files = Files(tuple(data or ()), tuple(train or ()), tuple(dev or ()), tuple(test or ()))
    plan = plan_reproduction(
        table, files, models=models, output=output, scale=scale.value, offline=offline, log=out.log
    )
    _warn(out, plan)
    device = local_device(launched(), device)
    if dry_run:
        return _dry_run(out, plan, device=device, for_device=for_device)
    if models and not models.is_dir():
        models.mkdir(parents=True, exist_ok=True)
        out.note(f"{models} is made, and is empty: put folders of models there, or let them be fetched")
    return _run(out, plan, partial=partial, device=device, form=form)


def _warn(out: Output, plan: ReproductionPlan) -> None:
    """What to know of the posts and of what earlier runs left behind."""
    from polyvigil_gladiators.posts import differences
    from polyvigil_gladiators.reproduce import REJECTS
    from polyvigil_gladiators.survey import leftovers

    environment = plan.environment
    out.notes(environment.data.notes)
    if environment.data.row_errors:
        number = len(environment.data.row_errors)
        out.warn(f"{number:,} rows set aside; they are kept in {REJECTS} beside the results")
    if not environment.scale.meaningless and (unlike := differences(environment.data)):
        out.warn(f"these are other posts than the paper's, and no value will be compared: {'; '.join(unlike)}")
    for path in leftovers(plan.statuses, environment.output):
        out.note(f"{path}: from other posts, models or settings; remove it if it is of no more use")


def _dry_run(out: Output, plan: ReproductionPlan, *, device: str, for_device: str) -> Answer:
    """Every step and what it would take."""
    from polyvigil.cli.views.reproduction import plan_answer
    from polyvigil.workflows.learners import RunOptions
    from polyvigil_gladiators.cost import costs

    options = RunOptions(device=device, for_device=for_device, offline=not plan.environment.models.hub)
    return plan_answer(plan, costs(plan.statuses, plan.environment, options=options, log=out.log))


def _run(out: Output, plan: ReproductionPlan, *, partial: bool, device: str, form: TableFormat | None) -> Answer:
    """Do what is missing, unless a row cannot run; the paper's values beside the measured ones."""
    from polyvigil.cli.views.paper import table_answer
    from polyvigil.cli.views.reproduction import obstacle_lines, reproduction_lines, reproduction_tables
    from polyvigil_gladiators.reproduce import measure_plan, not_begun, open_models, run_plan
    from polyvigil_gladiators.run import StepOptions

    plan = open_models(plan, partial=partial, log=out.log)
    if plan.obstacles and not partial:
        return Answer(not_begun(plan), obstacle_lines(plan.obstacles), 1)
    with training_options(out, "training", device=device, offline=not plan.environment.models.hub) as run_options:
        options = StepOptions(
            run_options,
            log=out.log,
            progress=lambda what, of, start, share: out.progress(what, start, round(share * of), 0, share),
        )
        done = run_plan(plan, options=options)
    if launched().rank:
        return Answer({})
    result = measure_plan(plan, done, log=out.log)
    answer = Answer(result, reproduction_lines(result, plan.environment.output), 1 if result.failed else 0)
    return table_answer(out, answer, reproduction_tables(result, form), form)
