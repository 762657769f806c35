"""Before a training is begun: what it would take, measured on a few steps, or estimated from the model's shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polyvigil.config.specs import Recipe, StackedSpec
from polyvigil.detect.base import Rehearsal
from polyvigil.errors import RecipeError
from polyvigil.learn.devices import DeviceRate, measured_device, named_device
from polyvigil.learn.distil import Lesson
from polyvigil.learn.estimate import estimate_scoring, estimate_training
from polyvigil.nn.shapes import ModelShape, Precision, shape_of
from polyvigil.nn.source import model_folder, needs_fetching
from polyvigil.workflows.learners import Machine, Say, learner_of
from polyvigil.workflows.models import NamedModel, models_of
from polyvigil.workflows.train import Material


def rehearse(recipe: Recipe, material: Material, *, machine: Machine, say: Say = lambda _: None) -> Rehearsal | None:
    """Steps, disk, time and memory of one member; nothing is written, nothing fetched.

    Measured on a few steps where the models are on this machine; estimated where one has yet to be fetched, or where
    ``machine.for_device`` names another device. None for a model that takes no steps, and for one that is not here and
    whose shape is not known. Raises as ``run.train`` would before its first step, and RecipeError for a device that is
    not known or cannot be used.
    """
    models = () if _is_stack_over_linear(recipe) else models_of(recipe)
    if models and (machine.for_device or any(map(_has_to_be_fetched, models))):
        return _estimated(recipe, material, machine=machine, say=say)
    lesson = _lesson_of_this_size(recipe, material) if recipe.distil.teacher else None
    learner = learner_of(recipe, Path(), machine, lambda _: None, lesson, members=len(recipe.member_seeds))
    measured = learner.rehearse(material.train, material.dev, seed=recipe.member_seeds[0])
    if measured is None or not isinstance(recipe.model, StackedSpec):
        return measured
    further = models_of(recipe)[-1]
    folder = model_folder(further.name, offline=True, revision=further.revision, fetched=further.files)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return _with_further(measured, weights, members=len(recipe.member_seeds), download=0)


def _estimated(recipe: Recipe, material: Material, *, machine: Machine, say: Say) -> Rehearsal | None:
    models = models_of(recipe)
    shapes = [shape_of(model.name) for model in models]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        if not machine.for_device:
            return None
        name = models[shapes.index(None)].name
        raise RecipeError(
            "the shape of this model is not known, so nothing can be estimated",
            where=name,
            hint="give the folder of a BERT, RoBERTa, XLM-R or DeBERTa, or leave --for-device out to measure here",
        )
    precision: Precision = recipe.training.precision if recipe.encoder else "fp32"
    rate = _rate(known[0], precision, machine, say)
    if recipe.encoder is None:
        estimate = estimate_scoring(recipe, known[0], rate, material.dev)
        return estimate if _has_to_be_fetched(models[0]) else estimate.model_copy(update={"download": 0})
    estimate = estimate_training(recipe, known[0], rate, material.train, material.dev, unlabelled=material.unlabelled)
    for model, shape in zip(models[1:], known[1:], strict=True):
        download = shape.download if _has_to_be_fetched(model) else 0
        estimate = _with_further(estimate, 4 * shape.parameters, members=len(recipe.member_seeds), download=download)
        estimate = estimate.model_copy(update={"peak_memory": estimate.peak_memory + 4 * shape.parameters})
    if not _has_to_be_fetched(models[0]):
        estimate = estimate.model_copy(update={"download": estimate.download - known[0].download})
    return estimate


def _is_stack_over_linear(recipe: Recipe) -> bool:
    """Which takes no steps; the model beside it is asked, and nobody estimates that."""
    return isinstance(recipe.model, StackedSpec) and recipe.encoder is None


def _with_further(base: Rehearsal, weights: int, *, members: int, download: int) -> Rehearsal:
    """A stack's base, and beside it the model of so many bytes that each of its members holds too."""
    return base.model_copy(
        update={
            "member_bytes": base.member_bytes + weights,
            "most_disk": base.most_disk + members * weights,
            "download": base.download + download,
        }
    )


def _rate(shape: ModelShape, precision: Precision, machine: Machine, say: Say) -> DeviceRate:
    if machine.for_device:
        return named_device(machine.for_device, precision=precision)
    say("timing one random layer of the model's shape on this machine, a few seconds")
    return measured_device(shape, precision=precision, device=machine.device)


def _has_to_be_fetched(model: NamedModel) -> bool:
    if Path(model.name).expanduser().exists():
        return False
    try:
        return needs_fetching(model.name, revision=model.revision)
    except ModuleNotFoundError:  # the hub's library comes with the extra `encoders`
        return True


def _lesson_of_this_size(recipe: Recipe, material: Material) -> Lesson:
    """A teacher that says .5 of every post: to learn from it takes as long as from any."""
    of_train, of_unlabelled = np.full(len(material.train), 0.5), np.full(len(material.unlabelled), 0.5)
    return Lesson(recipe.distil, "", of_train, material.unlabelled, of_unlabelled)
