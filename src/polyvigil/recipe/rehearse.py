"""Before a training is begun: what one of its members would take."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polyvigil.detect.base import Rehearsal
from polyvigil.learn.distil import Lesson
from polyvigil.recipe.learners import Machine, learner_of
from polyvigil.recipe.run import Material
from polyvigil.specs import Recipe


def rehearse(recipe: Recipe, material: Material, *, machine: Machine) -> Rehearsal | None:
    """Steps, disk, time and memory of one member, measured on a few steps; nothing is written, nothing fetched.

    None for a model that takes no steps, and for one that would have to be fetched first. Raises as
    ``run.train`` would before its first step.
    """
    lesson = _lesson_of_this_size(recipe, material) if recipe.distil.teacher else None
    learner = learner_of(recipe, Path(), machine, lambda _: None, lesson, members=len(recipe.member_seeds))
    return learner.rehearse(material.train, material.dev, seed=recipe.member_seeds[0])


def _lesson_of_this_size(recipe: Recipe, material: Material) -> Lesson:
    """A teacher that says .5 of every post: to learn from it takes as long as from any."""
    of_train, of_unlabelled = np.full(len(material.train), 0.5), np.full(len(material.unlabelled), 0.5)
    return Lesson(recipe.distil, "", of_train, material.unlabelled, of_unlabelled)
