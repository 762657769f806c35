"""``polyvigil tune``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, LabelledPosts, OrOnHub, PostsInput, Replace, numbers
from polyvigil.cli.output import Answer, Output
from polyvigil.errors import RecipeError

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.config.data import DataSpec
    from polyvigil.config.recipe import Recipe
    from polyvigil.data.read import Reading
    from polyvigil.workflows.tune import CascadeOptions, TuneResult


@command(
    examples=(
        "polyvigil tune BUNDLE dev.csv -o TUNED --set decide.rule=argmax",
        "polyvigil tune BUNDLE -o TUNED --unlabelled farsi.csv",
    ),
)
def tune(
    out: Output,
    bundle: Annotated[str, typer.Argument(help="The bundle whose members stay as they are."), OrOnHub],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the bundle with the new thresholds goes.")],
    dev: Annotated[
        str | None,
        typer.Argument(help="Labelled posts to tune on, else the dev scores in the bundle. With --like: any posts."),
    ] = None,
    unlabelled: Annotated[
        list[str] | None, typer.Option("--unlabelled", help="Posts of languages without labels. Repeatable.")
    ] = None,
    prior: Annotated[
        list[str] | None, typer.Option("--prior", help="A known prevalence among those: fa=0.05. Repeatable.")
    ] = None,
    like: Annotated[
        str,
        typer.Option("--like", help="An older bundle: flag as many of DEV, in each language, as it does."),
        OrOnHub,
    ] = "",
    cascade: Annotated[
        float | None,
        typer.Option(
            "--cascade",
            help="Ask one member first, all only near a threshold: largest share of posts whose decision may change.",
        ),
    ] = None,
    cascade_first: Annotated[
        int | None, typer.Option("--cascade-first", help="The index of the member to ask first; else the cheapest.")
    ] = None,
    cascade_costs: Annotated[
        str, typer.Option("--cascade-costs", help="What asking each member costs: 1,4,4. Else all the same.")
    ] = "",
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Find new thresholds for a bundle, its members untouched: other rule or objective, other posts, new languages."""
    from polyvigil.bundle.outputs import BUNDLE, check_output
    from polyvigil.bundle.store import load

    check_output(output, BUNDLE, replace=replace, inputs=[bundle, dev, like, *(unlabelled or [])])
    options = _cascade_options(cascade, first=cascade_first, costs=cascade_costs)
    target = _open(Path(bundle), posts, output=output, replace=replace, device=device)
    if not options and target.bundle.combination.cascade:
        out.note("the cascade is left out, since it was learned for the old thresholds; --cascade learns one anew")
    if like:
        if not dev or unlabelled or prior or options:
            raise typer.BadParameter("with --like give one file of posts and nothing else", param_hint="DEV")
        tuned = _tune_like(out, target, load(like, device=device), dev, posts)
    else:
        tuned = _tune(out, target, posts, dev=dev, unlabelled=unlabelled or (), prior=prior or (), cascade=options)
    return _answer(out, tuned, output)


def _cascade_options(stated: float | None, *, first: int | None, costs: str) -> CascadeOptions | None:
    """What the cascade is to be; None where none is asked for. Raises RecipeError for further options without one."""
    from polyvigil.workflows.tune import CascadeOptions

    if stated is not None:
        return CascadeOptions(stated, first=first, costs=numbers(costs, option="--cascade-costs"))
    if first is not None or costs:
        where = "--cascade-first, --cascade-costs"
        raise RecipeError("there is no cascade to ask for", where=where, hint="--cascade 0.005")
    return None


@dataclass(frozen=True, slots=True)
class _Target:
    """The bundle to tune, the recipe it is tuned by, and where the new one goes."""

    folder: Path
    bundle: Bundle
    recipe: Recipe
    output: Path
    replace: bool

    @property
    def data(self) -> DataSpec:
        """How posts are read: by the columns it was trained with, where a file has them."""
        from polyvigil.bundle.trained import recipe_as_trained

        return recipe_as_trained(self.recipe.data, self.folder)


def _open(folder: Path, posts: PostsInput, *, output: Path, replace: bool, device: str) -> _Target:
    """The bundle, even one whose thresholds are stale, and its recipe with the user's settings."""
    from polyvigil.bundle.store import load
    from polyvigil.config.load import load_text, to_toml
    from polyvigil.workflows.tune import recipe_of

    bundle = load(folder, device=device, stale=True)
    recipe = load_text(to_toml(recipe_of(folder)), settings=posts.tuning_settings(), where="options")
    return _Target(folder, bundle, recipe, output, replace)


def _tune_like(out: Output, target: _Target, older: Bundle, file: str, posts: PostsInput) -> TuneResult:
    """Thresholds by which the bundle flags as many posts of each language as an older one."""
    from polyvigil.workflows.tune import keep_rates

    reading = posts.read_unlabelled(file, target.data)
    tuned = keep_rates(
        target.folder,
        target.bundle,
        older,
        reading.posts,
        output=target.output,
        replace=target.replace,
        log=out.log,
    )
    out.notes(reading.notes)
    return tuned


def _tune(
    out: Output,
    target: _Target,
    posts: PostsInput,
    *,
    dev: str | None,
    unlabelled: Sequence[str],
    prior: Sequence[str],
    cascade: CascadeOptions | None,
) -> TuneResult:
    """Thresholds from labelled posts, or the dev scores in the bundle, and from posts of languages without labels."""
    from polyvigil.data.selection import refuse_selected
    from polyvigil.data.translated import refuse_translated
    from polyvigil.workflows.tune import Plan, tune_bundle

    labelled = posts.read_labelled(dev, target.data) if dev else None
    if labelled and labelled.selection.weighs:
        if unlabelled or prior or cascade:
            raise typer.BadParameter("a reviewed worklist moves thresholds, and nothing else", param_hint="DEV")
        return _tune_on_reviewed(out, target, labelled)
    if labelled:
        refuse_translated(labelled.posts, part="dev", where=labelled.name)
        refuse_selected(labelled.selection, part="dev", where=labelled.name)
    further = [posts.read_unlabelled(path, target.data) for path in unlabelled]
    plan = Plan(
        target.recipe.decide,
        dev=labelled.posts if labelled else (),
        data=Path(labelled.name).name if labelled else "stored dev scores",
        unlabelled=tuple(post for file in further for post in file.posts),
        priors=_priors(prior),
        cascade=cascade,
    )
    tuned = tune_bundle(target.folder, target.bundle, plan, output=target.output, replace=target.replace, log=out.log)
    out.notes((*(labelled.notes if labelled else ()), *(note for file in further for note in file.notes)))
    return tuned


def _tune_on_reviewed(out: Output, target: _Target, labelled: Reading) -> TuneResult:
    """Thresholds half way to what a whole reviewed worklist says."""
    import numpy as np

    from polyvigil.workflows.tune_reviewed import ReviewedPosts, tune_on_reviewed

    out.notes(labelled.notes)
    out.note("a reviewed worklist: weighed by 1 / inclusion_p; thresholds move half way to what it says, for F1")
    reviewed = ReviewedPosts(labelled.posts, np.array(labelled.selection.inclusion), labelled.name)
    return tune_on_reviewed(
        target.folder, target.bundle, reviewed, output=target.output, replace=target.replace, log=out.log
    )


def _priors(given: Sequence[str]) -> dict[str, float]:
    priors = {}
    for prior in given:
        language, _, share = prior.partition("=")
        try:
            priors[language] = float(share)
        except ValueError:
            priors[language] = 0.0
        if not language or not 0 < priors[language] < 1:
            raise RecipeError(
                f"--prior {prior!r} is not LANGUAGE=SHARE with a share between 0 and 1", hint="as fa=0.05"
            )
    return priors


def _answer(out: Output, made: TuneResult, output: Path) -> Answer:
    from polyvigil.cli.views.bundle import cascade_lines, shift_lines
    from polyvigil.cli.views.evaluation import evaluation_lines
    from polyvigil.evaluation.intervals import share_interval

    for language, threshold in made.bundle.policy.thresholds.items():
        for warning in threshold.warnings:
            out.warn(f"{language}: {warning}")
    cascade = made.bundle.combination.cascade
    if cascade and cascade.stated < share_interval(cascade.verified.disagreeing, cascade.verified.posts).low:
        out.warn(
            f"on the other half of the dev posts the cascade decides {cascade.verified.disagreement:.2%} otherwise"
        )
    data = {
        "bundle": made.bundle.id,
        "folder": str(output),
        "thresholds": made.bundle.policy.model_dump(mode="json")["thresholds"],
        "shifts": [shift.model_dump(mode="json") for shift in made.shifts],
        "cascade": cascade and cascade.model_dump(mode="json"),
        "dev": made.evaluation.model_dump(mode="json"),
    }
    lines = [
        f"bundle {made.bundle.id} -> {output}",
        "",
        *shift_lines(made.shifts),
        "",
        *(cascade_lines(cascade) if cascade else ()),
        *evaluation_lines(made.evaluation, warned=out.warnings),
    ]
    return Answer(data, lines)
