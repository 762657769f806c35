"""From a recipe to what makes its members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from polyvigil.config.specs import EncoderSpec, LinearSpec, NerSpec, NliSpec, Recipe, StackedSpec
from polyvigil.detect.base import Detector, Learner
from polyvigil.detect.stacked import Featured
from polyvigil.errors import RecipeError
from polyvigil.learn.distil import Lesson
from polyvigil.learn.linear import LinearLearner

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Machine:
    """On which device encoders are trained, whether models may be fetched, and what is called at each step
    (learn.loop.Hooks).

    ``for_device``: a card (learn.devices) that a dry run estimates for, in place of this machine.
    """

    device: str = "auto"
    for_device: str = ""
    offline: bool = False
    progress: Callable[[int, int, float, float], None] = lambda *_: None
    stop: Callable[[], bool] = lambda: False


def learner_of(
    recipe: Recipe, work: Path, machine: Machine, say: Say, lesson: Lesson | None, *, members: int = 1
) -> Learner[Detector]:
    """What makes a member. ``members``: how many are still to be made, this one counted.

    Raises RecipeError for a kind whose library is not installed.
    """
    spec = recipe.model
    try:
        if isinstance(spec, StackedSpec):
            return _stacked(recipe, spec, work, machine, say, members=members)
        if isinstance(spec, NliSpec | NerSpec):
            return _zero_shot(spec, machine)
        return _learned(recipe, spec, work, machine, say, lesson, members=members)
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"{_CALLED[spec.kind]} needs {error.name}, which is not installed",
            where="model.kind",
            hint="install torch for this machine, then: pip install 'polyvigil[encoders]'",
        ) from error


_CALLED = {
    "linear": "a linear model",
    "encoder": "an encoder",
    "nli": "an NLI model",
    "ner": "a GLiNER2 model",
    "stacked": "a stacked model",
}


def _learned(
    recipe: Recipe,
    spec: LinearSpec | EncoderSpec,
    work: Path,
    machine: Machine,
    say: Say,
    lesson: Lesson | None,
    *,
    members: int,
) -> Learner[Detector]:
    if isinstance(spec, LinearSpec):
        return LinearLearner(spec, recipe.balance)
    from polyvigil.learn.transformer import EncoderLearner

    return EncoderLearner(
        spec,
        recipe.training,
        recipe.balance,
        work=work,
        members=members,
        trainings=recipe.model.folds + 1 if isinstance(recipe.model, StackedSpec) else 1,
        offline=machine.offline,
        device=machine.device,
        lora=recipe.lora,
        lesson=lesson,
        decide=recipe.decide,
        say=say,
        progress=machine.progress,
        stop=machine.stop,
    )


def _zero_shot(spec: NliSpec | NerSpec, machine: Machine) -> Learner[Featured]:
    from polyvigil.learn.zeroshot import NerLearner, NliLearner

    if isinstance(spec, NliSpec):
        return NliLearner(spec, offline=machine.offline, device=machine.device)
    return NerLearner(spec, offline=machine.offline, device=machine.device)


def _stacked(
    recipe: Recipe, spec: StackedSpec, work: Path, machine: Machine, say: Say, *, members: int
) -> Learner[Detector]:
    from polyvigil.learn.stacked import StackedLearner

    def base(part: str) -> Learner[Detector]:
        return _learned(recipe, spec.base, work / part, machine, say, None, members=members)

    base("all")  # a library that is missing is an error now
    return StackedLearner(spec, base, _zero_shot(spec.further, machine), say=say)
