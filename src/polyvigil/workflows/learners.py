"""From a recipe to what makes its members."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from polyvigil.config.model import NerSpec, NliSpec
from polyvigil.config.recipe import (
    EncoderRecipe,
    FineTunedRecipe,
    LinearRecipe,
    MemberRecipe,
    StackedLinearRecipe,
    StackedRecipe,
    ZeroShotRecipe,
)
from polyvigil.detect.base import Detector, Learner
from polyvigil.detect.stacked import Featured
from polyvigil.errors import not_installed
from polyvigil.learn.distil import TeacherTargets
from polyvigil.learn.linear import LinearLearner
from polyvigil.progress import MetricsLog

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """On which device encoders are trained, whether models may be fetched, and what is called at each step
    (learn.loop.TrainingCallbacks).

    ``for_device``: a card (learn.devices) that a dry run estimates for, instead of this machine.
    """

    device: str = "auto"
    for_device: str = ""
    offline: bool = False
    progress: Callable[[int, int, float, float], None] = lambda *_: None
    counted: Callable[[str, int, int], None] = lambda *_: None
    stop: Callable[[], bool] = lambda: False
    metrics: MetricsLog = lambda *_: None


def learner_of(
    recipe: MemberRecipe,
    work: Path,
    options: RunOptions,
    log: Log,
    teacher_targets: TeacherTargets | None,
    *,
    members: int = 1,
    of_fold: bool = False,
) -> Learner[Detector]:
    """What makes a member. ``members``: how many are still to be made, this one counted. ``of_fold``: an encoder is to
    score the very posts that it is given as dev posts, so they choose nothing.

    Raises RecipeError for a kind whose library is not installed.
    """
    try:
        if isinstance(recipe, ZeroShotRecipe):
            return _zero_shot(recipe.model, options)
        if isinstance(recipe, LinearRecipe):
            return LinearLearner(recipe.model, recipe.balance, _paced(log), options.metrics)
        if isinstance(recipe, EncoderRecipe):
            return _fine_tuned(recipe, work, options, log, teacher_targets, members=members, of_fold=of_fold)
        return _stacked(recipe, work, options, log, members=members)
    except ModuleNotFoundError as error:
        needed_by = _DISPLAY_NAMES[recipe.model.kind]
        raise not_installed(error.name, extra="encoders", needed_by=needed_by, where="model.kind") from error


_EVERY = 5.0  # seconds


def _paced(log: Log) -> Callable[[str, int, int], None]:
    """Progress of a linear fit as a line every five seconds; a fit that is done sooner says nothing."""
    last = time.monotonic()

    def progress(stage: str, done: int, posts: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            log(stage if done == posts else f"{stage}: {done:,} of {posts:,} posts")

    return progress


def _named(metrics: MetricsLog, part: str) -> MetricsLog:
    """``metrics`` of a part of a member, whose values have its name in theirs."""
    return lambda step, values: metrics(step, {f"{part}/{name}": value for name, value in values.items()})


_DISPLAY_NAMES = {
    "linear": "a linear model",
    "encoder": "an encoder",
    "nli": "an NLI model",
    "ner": "a GLiNER2 model",
    "stacked": "a stacked model",
}


def _fine_tuned(
    recipe: FineTunedRecipe,
    work: Path,
    options: RunOptions,
    log: Log,
    teacher_targets: TeacherTargets | None,
    *,
    members: int,
    of_fold: bool = False,
) -> Learner[Detector]:
    """An encoder with a head: the whole of a member, or the base of a stack."""
    from polyvigil.learn.transformer import EncoderLearner

    return EncoderLearner(
        recipe.encoder,
        recipe.training,
        recipe.balance,
        work=work,
        members=members,
        trainings=recipe.model.folds + 1 if isinstance(recipe, StackedRecipe) else 1,
        keep="last" if of_fold else "best",
        offline=options.offline,
        device=options.device,
        lora=recipe.lora,
        teacher_targets=teacher_targets,
        decide=recipe.decide,
        log=log,
        progress=options.progress,
        counted=options.counted,
        stop=options.stop,
        metrics=options.metrics,
    )


def _zero_shot(spec: NliSpec | NerSpec, options: RunOptions) -> Learner[Featured]:
    from polyvigil.learn.zeroshot import NerLearner, NliLearner

    if isinstance(spec, NliSpec):
        return NliLearner(spec, offline=options.offline, device=options.device)
    return NerLearner(spec, offline=options.offline, device=options.device)


def _stacked(
    recipe: StackedRecipe | StackedLinearRecipe, work: Path, options: RunOptions, log: Log, *, members: int
) -> Learner[Detector]:
    from polyvigil.learn.stacked import StackedLearner

    def base(part: str) -> Learner[Detector]:
        if isinstance(recipe, StackedRecipe):
            of_part = replace(options, metrics=_named(options.metrics, part))
            return _fine_tuned(recipe, work / part, of_part, log, None, members=members)
        return LinearLearner(recipe.base, recipe.balance)

    base("all")  # a library that is missing is an error now
    return StackedLearner(recipe.model, base, _zero_shot(recipe.model.further, options), log=log)
