"""What a teacher says of the posts, and what a student is to make of it. No torch here: the loss is in learn.losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.training import DistilSpec
from polyvigil.types import Post, Probabilities


@dataclass(frozen=True, slots=True)
class TeacherTargets:
    """P(ADE) by a teacher of each training post, (n_train,) in their order, and of further posts without labels.

    ``teacher`` is the id of its bundle; ``of_unlabelled`` has shape (n_unlabelled,).
    """

    spec: DistilSpec
    teacher: str
    of_train: Probabilities
    unlabelled: tuple[Post, ...]
    of_unlabelled: Probabilities


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """What the student's P(ADE) at ``temperature`` shall be: float64 (n_posts,), in [0, 1]. ``weight`` in [0, 1]."""

    targets: Probabilities
    weight: float
    temperature: float

    def of(self, indices: NDArray[np.int64]) -> SoftTargets:
        """Those of some posts, by their indices."""
        return SoftTargets(self.targets[indices], self.weight, self.temperature)


def soft_targets(teacher: TeacherTargets) -> SoftTargets:
    """The targets of the training posts, then of the further ones, in an array of their own."""
    spec = teacher.spec
    p = np.concatenate([teacher.of_train, teacher.of_unlabelled])  # a copy
    return SoftTargets(softened(p, temperature=spec.temperature), spec.weight, spec.temperature)


def softened(p: Probabilities, *, temperature: float) -> Probabilities:
    """``p`` with its log-odds divided by ``temperature`` (>= 1), same shape; 0 and 1 stay, 1 changes nothing."""
    if temperature == 1:
        return p
    yes, no = p ** (1 / temperature), (1 - p) ** (1 / temperature)
    result: Probabilities = yes / (yes + no)
    return result
