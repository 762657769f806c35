"""``polyvigil train``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, ForDevice, Offline, QuarantinedPosts, Replace, needs_dry_run
from polyvigil.cli.output import Answer, Output, training_options
from polyvigil.cli.together import local_device, together
from polyvigil.learn.launch import launched

if TYPE_CHECKING:
    from polyvigil.config.recipe import Recipe
    from polyvigil.workflows.train import Trained, TrainingData


@command(
    examples=(
        "polyvigil train linear --train train.csv --dev dev.csv -o bundle",
        "polyvigil train my.toml --train posts.csv -o bundle --set model.C=2 --column text=tweet",
    ),
)
@together
def train(
    out: Output,
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the bundle goes.")],
    train_files: Annotated[
        list[str] | None,
        typer.Option("--train", help="Posts to learn from; a zero-shot recipe needs none. Repeatable."),
    ] = None,
    dev_files: Annotated[
        list[str] | None,
        typer.Option("--dev", help="Posts to tune thresholds on; else folds of the train posts, or some held out."),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="A bundle whose P(ADE) is learned too, as --set distil.teacher=...")
    ] = None,
    unlabelled: Annotated[
        list[str] | None, typer.Option(help="Posts of which the teacher alone says what they are. Repeatable.")
    ] = None,
    posts: QuarantinedPosts = DEFAULT_POSTS,
    seed: Annotated[int | None, typer.Option(help="The recipe's seed, as --set seed=N.")] = None,
    replace: Replace = False,
    device: Device = "auto",
    offline: Offline = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check everything and say what it would take: time, memory, disk, download. Fetches, writes nothing.",
        ),
    ] = False,
    for_device: ForDevice = "",
) -> Answer:
    """Train a bundle: learn from the train posts, tune one threshold per language on the dev posts."""
    from polyvigil.bundle.outputs import BUNDLE, check_output
    from polyvigil.config.load import load
    from polyvigil.workflows.train import gather, train_in_this_process

    needs_dry_run(for_device, dry_run=dry_run)
    resolved = load(recipe, settings=[*posts.all_settings(), *_settings(seed, teacher)])
    launched().check(resolved)
    train_files, dev_files, unlabelled = train_files or [], dev_files or [], unlabelled or []
    inputs = [*train_files, *dev_files, *unlabelled, recipe, teacher]
    check_output(output, BUNDLE, replace=replace, inputs=inputs)
    on_error = posts.on_labelled_row_error
    data = gather(resolved, train=train_files, dev=dev_files, unlabelled=unlabelled, on_error=on_error)
    out.notes(data.notes)
    device = local_device(launched(), device)
    if dry_run:
        return _dry_run(out, resolved, data, device=device, for_device=for_device, offline=offline)
    _write_rejects(out, data, output, replace=replace, inputs=inputs)
    with training_options(out, "training", device=device, offline=offline) as options:
        trained = train_in_this_process(resolved, data, output=output, replace=replace, options=options, log=out.log)
    return _answer(trained, _counts(resolved, data), output, posts.exit_code(set_aside=len(data.row_errors)))


def _settings(seed: int | None, teacher: Path | None) -> list[str]:
    """The options that stand for a setting of the recipe."""
    settings = [f"seed={seed}"] if seed is not None else []
    return settings + ([f"distil.teacher={json.dumps(str(teacher), ensure_ascii=False)}"] if teacher else [])


def _counts(recipe: Recipe, data: TrainingData) -> dict[str, int]:
    counts = {"train": len(data.train), "dev": len(data.dev), "set_aside": len(data.row_errors)}
    return counts | ({"unlabelled": len(data.unlabelled)} if recipe.teacher else {})


def _write_rejects(
    out: Output, data: TrainingData, output: Path, *, replace: bool, inputs: Sequence[str | Path | None]
) -> None:
    """Keep the rows that cannot be used beside the bundle, and say so; of several processes the first writes them."""
    from polyvigil.bundle.outputs import rejects_of, write_rejects
    from polyvigil.data.read import reject_line

    if not data.row_errors:
        return
    rejects = rejects_of(output)
    if not launched().rank:
        lines = "".join(reject_line(name, row_error) for name, row_error in data.row_errors)
        write_rejects(rejects, lines, replace=replace, inputs=inputs)
    out.warn(f"{len(data.row_errors):,} rows set aside -> {rejects}; use --on-error fail to stop at the first")


def _dry_run(out: Output, recipe: Recipe, data: TrainingData, *, device: str, for_device: str, offline: bool) -> Answer:
    """What the training would take; nothing is fetched or written."""
    from polyvigil.bundle.store import load as load_bundle
    from polyvigil.cli.views.training import dry_run_lines
    from polyvigil.config.load import to_toml
    from polyvigil.workflows.estimate import estimate_cost
    from polyvigil.workflows.learners import RunOptions

    if recipe.teacher:
        load_bundle(recipe.teacher.teacher, device="cpu")
    run_options = RunOptions(device=device, for_device=for_device, offline=offline)
    estimate = estimate_cost(recipe, data, options=run_options, log=out.log)
    if offline and estimate and estimate.download:
        out.warn("the model is not on this machine, and --offline fetches none: leave it out once, or copy a folder")
    counts = _counts(recipe, data)
    plan = [
        f"would learn from {counts['train'] if recipe.learns else 0:,} posts and tune on {counts['dev']:,}",
        "",
        *dry_run_lines(recipe, estimate),
        to_toml(recipe),
    ]
    cost = estimate.model_dump(mode="json") if estimate else None
    return Answer(counts | {"rehearsal": cost, "recipe": recipe.model_dump(mode="json")}, plan)


def _answer(trained: Trained | None, counts: dict[str, int], output: Path, exit_code: int) -> Answer:
    """What was trained; None in a process that only took part."""
    if trained is None:
        return Answer(counts, (), exit_code)
    return Answer(counts | _document(trained, output), _lines(trained, output), exit_code)


def _document(trained: Trained, output: Path) -> dict[str, object]:
    from polyvigil.cli.views.bundle import stacks

    bundle = trained.bundle
    return {
        "bundle": bundle.id,
        "folder": str(output),
        "dev": trained.evaluation.model_dump(mode="json"),
        "training": [member.log.model_dump(mode="json") for member in bundle.members if member.log],
        "seeds": [subset.model_dump(mode="json") for subset in trained.subsets],
        "stacked": [stack.model_dump(mode="json") for stack in stacks(bundle.members)],
    }


def _lines(trained: Trained, output: Path) -> list[str]:
    from polyvigil.cli.views.bundle import stack_lines, stacks, subset_lines
    from polyvigil.cli.views.evaluation import evaluation_lines
    from polyvigil.cli.views.training import epoch_lines

    bundle = trained.bundle
    named = zip(trained.names, bundle.members, strict=True)
    return [
        f"bundle {bundle.id} -> {output}",
        "",
        *evaluation_lines(trained.evaluation),
        "",
        *(line for name, member in named if member.log for line in epoch_lines(name, member.log)),
        *subset_lines(trained.subsets, what="seeds"),
        *stack_lines(stacks(bundle.members)),
        f"next: polyvigil evaluate {output} TEST.csv",
        f"      polyvigil score {output} POSTS.csv -o scored.csv",
    ]
