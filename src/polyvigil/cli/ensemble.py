"""``polyvigil ensemble``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, LabelledPosts, OrOnHub, PostsInput, Replace, numbers
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.config.data import DataSpec
    from polyvigil.data.read import Reading
    from polyvigil.evaluation.paired import Difference
    from polyvigil.evaluation.subsets import MemberAblation, WeightGain
    from polyvigil.workflows.ensemble import EnsembleMember, EnsembleResult


@command(
    examples=(
        "polyvigil ensemble BUNDLE OTHER -o JOINED --weights 1.0,0.7",
        "polyvigil ensemble BUNDLE OTHER THIRD -o JOINED --dev dev.csv --fit-weights",
    ),
)
def ensemble(
    out: Output,
    bundles: Annotated[
        list[str], typer.Argument(help="The bundles whose members are put into one. Two or more."), OrOnHub
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the joined bundle goes.")],
    weights: Annotated[
        str, typer.Option("--weights", help="One for each bundle, or one for each member: 1.0,0.7. Else all the same.")
    ] = "",
    fit_weights: Annotated[
        bool, typer.Option("--fit-weights", help="Fit the weights to the dev posts by greedy selection.")
    ] = False,
    dev: Annotated[
        str, typer.Option("--dev", help="Posts to tune on, where the bundles do not hold scores of the same ones.")
    ] = "",
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Join bundles into one: members copied, weighed, compared with and without each; thresholds tuned again."""
    from polyvigil.bundle.outputs import BUNDLE, check_output
    from polyvigil.bundle.store import load
    from polyvigil.config.load import load_text, to_toml
    from polyvigil.workflows.ensemble import EnsemblePlan, Source, build_ensemble
    from polyvigil.workflows.tune import recipe_of

    check_output(output, BUNDLE, replace=replace, inputs=[*bundles, dev])
    given = numbers(weights, option="--weights")
    chosen = posts.tuning_settings()
    sources = [Source(Path(folder), load(folder, device=device)) for folder in bundles]
    recipe = load_text(to_toml(recipe_of(Path(bundles[0]))), settings=chosen, where="options")
    plan = EnsemblePlan(recipe.decide, weights=given, fit=fit_weights)
    if dev:
        reading = _read_dev(out, dev, posts, recipe.data, bundles[0])
        plan = dataclasses.replace(plan, dev=reading.posts, data=Path(reading.name).name)
    return _answer(out, build_ensemble(sources, plan, output=output, replace=replace, log=out.log), output)


def _read_dev(out: Output, dev: str, posts: PostsInput, spec: DataSpec, bundle: str) -> Reading:
    """The posts to tune on, read as those of the first bundle were. Raises DataError for translated or chosen
    ones."""
    from polyvigil.bundle.trained import recipe_as_trained
    from polyvigil.data.selection import refuse_selected
    from polyvigil.data.translated import refuse_translated

    reading = posts.read_labelled(dev, recipe_as_trained(spec, bundle))
    out.notes(reading.notes)
    refuse_translated(reading.posts, part="dev", where=reading.name)
    refuse_selected(reading.selection, part="dev", where=reading.name)
    return reading


def _answer(out: Output, made: EnsembleResult, output: Path) -> Answer:
    from polyvigil.cli.views.bundle import subset_lines
    from polyvigil.cli.views.evaluation import evaluation_lines

    out.notes(made.notes)
    if made.weight_gain and made.weight_gain.gain <= 0:
        out.warn("the fitted weights gain nothing on posts they were not fitted to; leave --fit-weights out")
    for member in made.ablations:
        if member.dilutes:
            out.warn(f"{member.member} dilutes the ensemble: {' and '.join(member.dilutes)} is better without it")
    for language, threshold in made.bundle.policy.thresholds.items():
        for warning in threshold.warnings:
            out.warn(f"{language}: {warning}")
    data = {
        "bundle": made.bundle.id,
        "folder": str(output),
        "members": [member.model_dump(mode="json") for member in made.members],
        "gain": made.weight_gain and made.weight_gain.model_dump(mode="json"),
        "parity": [member.model_dump(mode="json") for member in made.ablations],
        "subsets": [subset.model_dump(mode="json") for subset in made.subsets],
        "thresholds": made.bundle.policy.model_dump(mode="json")["thresholds"],
        "dev": made.evaluation.model_dump(mode="json"),
    }
    lines = [
        f"bundle {made.bundle.id} -> {output}",
        "",
        *member_lines(made.members),
        *weight_gain_lines(made.weight_gain),
        *ablation_lines(made.ablations),
        *subset_lines(made.subsets, what="members"),
        *evaluation_lines(made.evaluation, warned=out.warnings),
        "",
        f"next: polyvigil tune {output} -o CHEAPER --cascade 0.005",
    ]
    return Answer(data, lines)


def member_lines(members: Sequence[EnsembleMember]) -> list[str]:
    """Who is in, and how much each counts."""
    from polyvigil.cli.views.table import table

    rows = [
        (member.name, member.kind, member.source, f"{member.weight:.3f}" if member.weight else "left out")
        for member in members
    ]
    return [table(("member", "kind", "from bundle", "weight"), rows, left=3), ""]


def weight_gain_lines(weight_gain: WeightGain | None) -> list[str]:
    """What fitted weights gain over equal ones; nothing where none were fitted."""
    if weight_gain is None:
        return []
    return [
        f"fitted weights: AP {weight_gain.fitted:.4f} on dev posts they were not fitted to, equal "
        f"weights {weight_gain.equal:.4f},"
        f" gain {weight_gain.gain:+.4f} ({weight_gain.low:+.4f} to {weight_gain.high:+.4f}); means "
        f"over {weight_gain.folds} folds",
        "",
    ]


def ablation_lines(ablations: Sequence[MemberAblation]) -> list[str]:
    """The ensemble with and without each member; nothing for one member."""
    from polyvigil.cli.views.table import table

    if not ablations:
        return []
    dilutes = any(member.dilutes for member in ablations)
    rows = [
        (
            member.member,
            f"{member.average_precision.second:.4f}",
            f"{member.average_precision.first:.4f}",
            _with_interval(member.average_precision),
            f"{member.f1.second:.4f}",
            f"{member.f1.first:.4f}",
            _with_interval(member.f1),
            *((" and ".join(member.dilutes),) if dilutes else ()),
        )
        for member in ablations
    ]
    header = (
        "member",
        "AP with",
        "without",
        "gain without (95%)",
        "F1 with",
        "without",
        "gain without (95%)",
        *(("dilutes",) if dilutes else ()),
    )
    return [
        "pooled, F1 cross-fitted; a member dilutes where the gain without it is above 0",
        "",
        table(header, rows),
        "",
    ]


def _with_interval(difference: Difference) -> str:
    return f"{difference.difference:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
