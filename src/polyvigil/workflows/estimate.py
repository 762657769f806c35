"""Before a training is begun: what it would take, measured on a few steps, or estimated from the model's shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from polyvigil.config.model import StackedSpec
from polyvigil.config.recipe import FineTunedRecipe, MemberRecipe, Recipe, member_recipes
from polyvigil.config.training import DistilSpec
from polyvigil.detect.base import CostEstimate
from polyvigil.errors import RecipeError
from polyvigil.learn.devices import DeviceRate, measured_device, named_device
from polyvigil.learn.distil import TeacherTargets
from polyvigil.learn.estimate import estimate_scoring, estimate_training
from polyvigil.learn.folds import folds_of
from polyvigil.nn.shapes import ModelShape, Precision, shape_of
from polyvigil.nn.source import model_folder, needs_fetching
from polyvigil.workflows.learners import Log, RunOptions, learner_of
from polyvigil.workflows.models import NamedModel, models_of
from polyvigil.workflows.train import TrainingData


def estimate_cost(
    recipe: Recipe, data: TrainingData, *, options: RunOptions, log: Log = lambda _: None
) -> CostEstimate | None:
    """Steps, disk, time and memory of one member; nothing is written, nothing fetched.

    Measured on a few steps where the models are on this machine; estimated where one has yet to be fetched, or where
    ``machine.for_device`` names another device. None for a model that takes no steps, and for one that is not here and
    whose shape is not known. Raises as ``run.train`` would before its first step, and RecipeError for a device that is
    not known or cannot be used.
    """
    recipe = member_recipes(recipe)[-1]  # the linear member of a hybrid takes seconds
    if recipe.encoder and data.fold_of is not None:
        first = folds_of(data.dev, data.fold_of, train=data.train)[0]
        data = replace(data, train=tuple(first.rest), dev=tuple(first.held_out), fold_of=None)
    models = () if _is_stack_over_linear(recipe) else models_of(recipe)
    if models and (options.for_device or any(map(_has_to_be_fetched, models))):
        return _estimated(recipe, data, options=options, log=log)
    teacher_targets = _placeholder_targets(recipe.teacher, data) if recipe.teacher else None
    learner = learner_of(recipe, Path(), options, lambda _: None, teacher_targets, members=recipe.members)
    measured = learner.estimate_cost(data.train, data.dev, seed=recipe.member_seeds[0])
    if measured is None or not isinstance(recipe.model, StackedSpec):
        return measured
    further = models_of(recipe)[-1]
    folder = model_folder(further.name, offline=True, revision=further.revision, fetched=further.files)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return _with_further(measured, weights, members=recipe.members, download=0)


def _estimated(recipe: MemberRecipe, data: TrainingData, *, options: RunOptions, log: Log) -> CostEstimate | None:
    models = models_of(recipe)
    shapes = [shape_of(model.name) for model in models]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        if not options.for_device:
            return None
        name = models[shapes.index(None)].name
        raise RecipeError(
            "the shape of this model is not known, so nothing can be estimated",
            where=name,
            hint="give the folder of a BERT, RoBERTa, XLM-R or DeBERTa, or leave --for-device out to measure here",
        )
    precision: Precision = recipe.training.precision if isinstance(recipe, FineTunedRecipe) else "fp32"
    rate = _rate(known[0], precision, options, log)
    if not isinstance(recipe, FineTunedRecipe):
        estimate = estimate_scoring(recipe, known[0], rate, data.dev)
        return estimate if _has_to_be_fetched(models[0]) else estimate.model_copy(update={"download": 0})
    estimate = estimate_training(recipe, known[0], rate, data.train, data.dev, unlabelled=data.unlabelled)
    for model, shape in zip(models[1:], known[1:], strict=True):
        download = shape.download if _has_to_be_fetched(model) else 0
        estimate = _with_further(estimate, 4 * shape.parameters, members=recipe.members, download=download)
        estimate = estimate.model_copy(update={"peak_memory": estimate.peak_memory + 4 * shape.parameters})
    if not _has_to_be_fetched(models[0]):
        estimate = estimate.model_copy(update={"download": estimate.download - known[0].download})
    return estimate


def _is_stack_over_linear(recipe: Recipe) -> bool:
    """Whether a stack's base takes no steps: then the cost is that of the zero-shot model, which is not estimated."""
    return isinstance(recipe.model, StackedSpec) and recipe.encoder is None


def _with_further(base: CostEstimate, weights: int, *, members: int, download: int) -> CostEstimate:
    """A stack's base, and beside it the model of so many bytes that each of its members holds too."""
    return base.model_copy(
        update={
            "member_bytes": base.member_bytes + weights,
            "most_disk": base.most_disk + members * weights,
            "download": base.download + download,
        }
    )


def _rate(shape: ModelShape, precision: Precision, options: RunOptions, log: Log) -> DeviceRate:
    if options.for_device:
        return named_device(options.for_device, precision=precision)
    log("timing one random layer of the model's shape on this machine, a few seconds")
    return measured_device(shape, precision=precision, device=options.device)


def _has_to_be_fetched(model: NamedModel) -> bool:
    if Path(model.name).expanduser().exists():
        return False
    try:
        return needs_fetching(model.name, revision=model.revision)
    except ModuleNotFoundError:  # the hub's library comes with the extra `encoders`
        return True


def _placeholder_targets(spec: DistilSpec, data: TrainingData) -> TeacherTargets:
    """A teacher that says .5 of every post: to learn from it takes as long as from any."""
    of_train, of_unlabelled = np.full(len(data.train), 0.5), np.full(len(data.unlabelled), 0.5)
    return TeacherTargets(spec, "", of_train, data.unlabelled, of_unlabelled)
