"""What the steps that are missing would take, before any is begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from polyvigil.config.specs import Recipe
from polyvigil.detect.base import Rehearsal
from polyvigil.errors import PolyvigilError
from polyvigil.nn.shapes import shape_of
from polyvigil.text.language import base_language
from polyvigil.types import Frozen, LabelledPost
from polyvigil.workflows.estimate import rehearse
from polyvigil.workflows.learners import Machine, Say
from polyvigil_gladiators.plan import Audit, Scoring, Step, Training, Translation
from polyvigil_gladiators.posts import of_language
from polyvigil_gladiators.survey import Bench, Standing


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
class _Rehearsed:
    told: Rehearsal | None
    note: str


def costs(standings: Mapping[Step, Standing], bench: Bench, *, machine: Machine, say: Say) -> dict[Step, Cost]:
    """Of each step that would be done. An encoder takes a few steps that are thrown away, or is estimated where it has
    yet to be fetched (recipe.rehearse), one recipe once: with translations, its time is that without, by the number of
    posts."""
    rehearsed: dict[str, _Rehearsed] = {}
    found: dict[Step, Cost] = {}
    for step, standing in standings.items():
        if standing.state in {"done", "cannot run"}:
            continue
        if isinstance(step, Scoring | Audit):
            continue
        if isinstance(step, Translation):
            found[step] = _of_translation(step, standing, bench)
            continue
        assert standing.recipe is not None
        unfetched = _downloads(standing)
        if standing.recipe.encoder is None and not unfetched and not machine.for_device:
            posts = len(bench.material.dev)
            found[step] = Cost(note=f"as long as it takes to score {posts:,} dev posts")
            continue
        if step.recipe not in rehearsed:
            if not unfetched and not machine.for_device:
                say(f"taking a few steps of {step.recipe}, to measure them")
            rehearsed[step.recipe] = _rehearse(step, standing.recipe, bench, machine)
        further = (
            _to_translate(step.translation, bench, positives=standing.recipe.balance.oversample)
            if step.translation
            else 0
        )
        cost = _cost(standing.recipe, rehearsed[step.recipe], further=further)
        found[step] = cost.model_copy(update={"downloads": unfetched})
    return found


def _rehearse(step: Training, recipe: Recipe, bench: Bench, machine: Machine) -> _Rehearsed:
    try:
        told = rehearse(recipe, of_language(bench.material, step.language), machine=machine)
    except (PolyvigilError, MemoryError, RuntimeError) as error:
        return _Rehearsed(None, f"cannot be measured here: {error}")
    return _Rehearsed(told, "" if told else "the model has yet to be fetched, and its shape is not known")


def _cost(recipe: Recipe, found: _Rehearsed, *, further: int) -> Cost:
    told = found.told
    if told is None:
        return Cost(note=found.note)
    members = len(recipe.member_seeds)
    folds = getattr(recipe.model, "folds", 0) + 1
    more = (told.posts_per_epoch + further) / max(1, told.posts_per_epoch)  # a zero-shot model learns from none
    if not told.posts_per_epoch:
        members, more = 1, 1.0
    measured = f"measured on {told.measured_steps} steps on {told.device}"
    return Cost(
        posts=told.posts_per_epoch + further,
        steps=round(members * folds * recipe.training.epochs * told.steps_per_epoch * more),
        parameters=told.parameters,
        seconds=members * told.seconds * more,
        memory=told.peak_memory,
        disk_meanwhile=told.most_disk,
        disk_after=members * told.member_bytes,
        note=measured if told.measured_steps else f"estimated for {told.device} ({told.how})",
    )


def _of_translation(step: Translation, standing: Standing, bench: Bench) -> Cost:
    shape = shape_of(step.spec(bench.scale).model)
    return Cost(
        posts=_to_translate(step, bench),
        parameters=shape.parameters if shape else None,
        downloads=_downloads(standing),
        note="time not estimated",
    )


def _downloads(standing: Standing) -> dict[str, int]:
    """About the bytes of each model of a step that has yet to be fetched, where its shape is known; else 0."""
    missing = [model.name for model in standing.models if not model.version]
    return {name: shape.download if (shape := shape_of(name)) else 0 for name in missing}


def _to_translate(step: Translation, bench: Bench, *, positives: int = 1) -> int:
    """Posts, every positive counted so many times."""
    sources: list[LabelledPost] = [
        item for item in bench.material.train if base_language(item.post.language) in step.sources
    ]
    label = sum(item.label for item in sources)
    if step.prevalence:
        share = label / max(1, len(sources))
        number = min(bench.scale.sample, len(sources))
        return round(len(step.to) * number * (1 + (positives - 1) * share))
    negatives = min(bench.scale.negatives, len(sources) - label) if step.negatives else 0
    return len(step.to) * (positives * label + negatives)
