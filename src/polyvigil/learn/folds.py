"""Out-of-fold probabilities: each post scored by a model that learned from no post of its fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.data.split import group_keys
from polyvigil.data.translated import without_translations_of
from polyvigil.types import LabelledPost, Post, Probabilities


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: the model that scores ``held_out`` posts, which stand at ``indices``, learns from ``rest``."""

    rest: list[LabelledPost]
    held_out: list[LabelledPost]
    indices: list[int]


def folds_of(
    posts: Sequence[LabelledPost], fold_of: NDArray[np.int64], *, train: Sequence[LabelledPost] = ()
) -> list[Fold]:
    """The folds of ``posts``; ``fold_of`` (n_posts,): the fold of each, from 0 (data.split.assign_folds).

    ``train``: all posts that may be learned from. Those in no fold, which are translated or were chosen by their score,
    are learned from in each fold, after the posts of the others, unless they translate a post of the fold, belong to
    its group or have its text.
    """
    in_folds = set(posts)
    further = [item for item in train if item not in in_folds]
    further_keys = group_keys(further)
    folds = []
    for fold in range(int(fold_of.max()) + 1):
        indices = np.flatnonzero(fold_of == fold).tolist()
        held_out = [posts[index] for index in indices]
        taken = set(group_keys(held_out)) if further else set()
        apart = [item for item, key in zip(further, further_keys, strict=True) if key not in taken]
        rest = [posts[index] for index in np.flatnonzero(fold_of != fold).tolist()]
        folds.append(Fold(rest + without_translations_of(apart, held_out), held_out, indices))
    return folds


def out_of_fold(
    posts: Sequence[LabelledPost],
    fold_of: NDArray[np.int64],
    fit: Callable[[int, Sequence[LabelledPost]], Callable[[Sequence[Post]], Probabilities]],
    *,
    train: Sequence[LabelledPost] = (),
) -> Probabilities:
    """P(ADE) of each of ``posts``, (n_posts,). ``fold_of`` and ``train``: see ``folds_of``.

    ``fit``: given a fold's number and the posts to learn from, it returns what scores posts. One model at a time is in
    memory.
    """
    result = np.empty(len(posts))
    for number, fold in enumerate(folds_of(posts, fold_of, train=train)):
        score = fit(number, fold.rest)
        result[fold.indices] = score([item.post for item in fold.held_out])
        del score  # the next fold's needs its memory
    return result
