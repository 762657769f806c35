"""``polyvigil train``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, ForDevice, Offline, QuarantinedPosts, Replace, needs_dry_run
from polyvigil.cli.output import Answer, Output, graceful_stop
from polyvigil.cli.together import local_device, together
from polyvigil.learn.launch import launched


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
        list[str] | None, typer.Option("--dev", help="Posts to tune thresholds on; else some are held out.")
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
    from polyvigil.bundle.store import check_free
    from polyvigil.bundle.store import load as load_bundle
    from polyvigil.cli.stacked_tables import stack_lines, stacks
    from polyvigil.cli.tables import dry_run_lines, epoch_lines, evaluation_lines, subset_lines
    from polyvigil.config.load import load, to_toml
    from polyvigil.data.atomic import write_whole
    from polyvigil.data.read import reject_line
    from polyvigil.workflows import train as training
    from polyvigil.workflows.estimate import estimate_cost
    from polyvigil.workflows.learners import RunOptions

    needs_dry_run(for_device, dry_run=dry_run)
    chosen = posts.all_settings() + ([f"seed={seed}"] if seed is not None else [])
    chosen += [f"distil.teacher={json.dumps(str(teacher), ensure_ascii=False)}"] if teacher else []
    resolved = load(recipe, settings=chosen)
    launch = launched()
    launch.check(resolved)
    check_free(output, replace=replace)
    data = training.gather(
        resolved, train=train_files or [], dev=dev_files or [], unlabelled=unlabelled or [], on_error=posts.on_row_error
    )
    out.notes(data.notes)
    if data.row_errors and not dry_run:
        rejects = output.parent / f"{output.name}.rejects.jsonl"
        if not launch.rank:
            write_whole(rejects, "".join(reject_line(name, row_error) for name, row_error in data.row_errors))
        out.warn(f"{len(data.row_errors):,} rows set aside -> {rejects}; use --on-error fail to stop at the first")
    counts = {"train": len(data.train), "dev": len(data.dev), "set_aside": len(data.row_errors)}
    if resolved.teacher:
        counts["unlabelled"] = len(data.unlabelled)
    if dry_run:
        if resolved.teacher:
            load_bundle(resolved.teacher.teacher, device="cpu")
        run_options = RunOptions(device=local_device(launch, device), for_device=for_device, offline=offline)
        estimate = estimate_cost(resolved, data, options=run_options, log=out.log)
        if offline and estimate and estimate.download:
            out.warn(
                "the model is not on this machine, and --offline fetches none: leave it out once, or copy a folder"
            )
        plan = [
            f"would learn from {counts['train'] if resolved.learns else 0:,} posts and tune on {counts['dev']:,}",
            "",
            *dry_run_lines(resolved, estimate),
            to_toml(resolved),
        ]
        cost = estimate.model_dump(mode="json") if estimate else None
        return Answer(counts | {"rehearsal": cost, "recipe": resolved.model_dump(mode="json")}, plan)
    exit_code = posts.exit_code(set_aside=len(data.row_errors))
    started = time.monotonic()
    with graceful_stop(out) as stop:
        run_options = RunOptions(
            device=local_device(launch, device),
            offline=offline,
            progress=lambda done, steps, rate, left: out.steps("training", started, done, steps, rate, left),
            stop=stop,
        )
        if launch.rank:  # the first process alone writes the bundle
            training.learn(resolved, data, output=output, options=run_options)
            return Answer(counts, (), exit_code)
        trained = training.train(resolved, data, output=output, replace=replace, options=run_options, log=out.log)
    bundle = trained.bundle
    document = counts | {
        "bundle": bundle.id,
        "folder": str(output),
        "dev": trained.evaluation.model_dump(mode="json"),
        "training": [member.log.model_dump(mode="json") for member in bundle.members if member.log],
        "seeds": [subset.model_dump(mode="json") for subset in trained.subsets],
        "stacked": [stack.model_dump(mode="json") for stack in stacks(bundle.members)],
    }
    lines = [
        f"bundle {bundle.id} -> {output}",
        "",
        *evaluation_lines(trained.evaluation),
        "",
        *(line for member in bundle.members if member.log for line in epoch_lines(member.fit_record.seed, member.log)),
        *subset_lines(trained.subsets, what="seeds"),
        *stack_lines(stacks(bundle.members)),
        *_next_steps(output),
    ]
    return Answer(document, lines, exit_code)


def _next_steps(output: Path) -> Sequence[str]:
    return (f"next: polyvigil evaluate {output} TEST.csv", f"      polyvigil score {output} POSTS.csv -o scored.csv")
