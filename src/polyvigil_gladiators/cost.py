"""What the steps that are missing would take, before any is begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from polyvigil.config.recipe import FineTunedRecipe, Recipe, ZeroShotRecipe
from polyvigil.detect.base import CostEstimate
from polyvigil.errors import PolyvigilError
from polyvigil.nn.shapes import shape_of
from polyvigil.text.language import base_language
from polyvigil.types import Frozen, LabelledPost
from polyvigil.workflows.estimate import estimate_cost
from polyvigil.workflows.learners import Log, RunOptions
from polyvigil_gladiators.environment import Environment
from polyvigil_gladiators.plan import Audit, Scoring, Step, Training, Translation
from polyvigil_gladiators.posts import of_language
from polyvigil_gladiators.survey import StepStatus


class Cost(Frozen):
    """``posts``: those that are learned from in an epoch, copies included, or translated. What nobody knows is None;
    ``note`` says why. Sizes are bytes; time and steps are of all members and folds. ``disk_meanwhile``: at the fullest
    moment, finished members included; ``downloads``: about what has to be fetched first, by model."""

    posts: int | None = None
    steps: int | None = None
    parameters: int | None = None
    seconds: float | None = None
    memory: int | None = None
    disk_meanwhile: int | None = None
    disk_after: int | None = None
    downloads: dict[str, int] = Field(default={})
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Estimate:
    estimate: CostEstimate | None
    note: str


def costs(
    statuses: Mapping[Step, StepStatus], environment: Environment, *, options: RunOptions, log: Log
) -> dict[Step, Cost]:
    """Of each step that would be done. An encoder takes a few steps that are thrown away, or is estimated where it has
    yet to be fetched (workflows.estimate), each recipe once: with translations, its time is that without, by number of
    posts."""
    estimates: dict[str, _Estimate] = {}
    result: dict[Step, Cost] = {}
    for step, status in statuses.items():
        if status.state in {"done", "cannot run"}:
            continue
        if isinstance(step, Scoring | Audit):
            continue
        if isinstance(step, Translation):
            result[step] = _of_translation(step, status, environment)
            continue
        assert status.recipe is not None
        unfetched = _downloads(status)
        if status.recipe.encoder is None and not unfetched and not options.for_device:
            posts = len(environment.data.dev)
            result[step] = Cost(note=f"as long as it takes to score {posts:,} dev posts")
            continue
        if step.recipe not in estimates:
            if not unfetched and not options.for_device:
                log(f"taking a few steps of {step.recipe}, to measure them")
            estimates[step.recipe] = _estimate(step, status.recipe, environment, options)
        positives = 1 if isinstance(status.recipe, ZeroShotRecipe) else status.recipe.balance.oversample
        further = _to_translate(step.translation, environment, positives=positives) if step.translation else 0
        cost = _cost(status.recipe, estimates[step.recipe], further=further)
        result[step] = cost.model_copy(update={"downloads": unfetched})
    return result


def _estimate(step: Training, recipe: Recipe, environment: Environment, options: RunOptions) -> _Estimate:
    try:
        estimate = estimate_cost(recipe, of_language(environment.data, step.language), options=options)
    except (PolyvigilError, MemoryError, RuntimeError) as error:
        return _Estimate(None, f"cannot be measured here: {error}")
    return _Estimate(estimate, "" if estimate else "the model has yet to be fetched, and its shape is not known")


def _cost(recipe: Recipe, outcome: _Estimate, *, further: int) -> Cost:
    estimate = outcome.estimate
    if estimate is None:
        return Cost(note=outcome.note)
    members = len(recipe.member_seeds)
    epochs = recipe.training.epochs if isinstance(recipe, FineTunedRecipe) else 0
    folds = getattr(recipe.model, "folds", 0) + 1
    more = (estimate.posts_per_epoch + further) / max(1, estimate.posts_per_epoch)  # a zero-shot model learns from none
    if not estimate.posts_per_epoch:
        members, more = 1, 1.0
    measured = f"measured on {estimate.measured_steps} steps on {estimate.device}"
    return Cost(
        posts=estimate.posts_per_epoch + further,
        steps=round(members * folds * epochs * estimate.steps_per_epoch * more),
        parameters=estimate.parameters,
        seconds=members * estimate.seconds * more,
        memory=estimate.peak_memory,
        disk_meanwhile=estimate.most_disk,
        disk_after=members * estimate.member_bytes,
        note=measured if estimate.measured_steps else f"estimated for {estimate.device} ({estimate.how})",
    )


def _of_translation(step: Translation, status: StepStatus, environment: Environment) -> Cost:
    shape = shape_of(step.spec(environment.scale).model)
    return Cost(
        posts=_to_translate(step, environment),
        parameters=shape.parameters if shape else None,
        downloads=_downloads(status),
        note="time not estimated",
    )


def _downloads(status: StepStatus) -> dict[str, int]:
    """About the bytes of each model of a step that has yet to be fetched, where its shape is known; else 0."""
    missing = [model.name for model in status.models if not model.version]
    return {name: shape.download if (shape := shape_of(name)) else 0 for name in missing}


def _to_translate(step: Translation, environment: Environment, *, positives: int = 1) -> int:
    """Posts, every positive counted so many times."""
    sources: list[LabelledPost] = [
        item for item in environment.data.train if base_language(item.post.language) in step.sources
    ]
    label = sum(item.label for item in sources)
    if step.prevalence:
        share = label / max(1, len(sources))
        number = min(environment.scale.sample, len(sources))
        return round(len(step.to) * number * (1 + (positives - 1) * share))
    negatives = min(environment.scale.negatives, len(sources) - label) if step.negatives else 0
    return len(step.to) * (positives * label + negatives)
