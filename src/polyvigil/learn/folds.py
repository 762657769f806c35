"""Out-of-fold probabilities: each post scored by a model that learned from no post of its fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.data.translated import without_translations_of
from polyvigil.types import LabelledPost, Post, Probabilities


def out_of_fold(
    posts: Sequence[LabelledPost],
    fold_of: NDArray[np.int64],
    fit: Callable[[int, Sequence[LabelledPost]], Callable[[Sequence[Post]], Probabilities]],
    *,
    further: Sequence[LabelledPost] = (),
) -> Probabilities:
    """P(ADE) of each of ``posts``, (n_posts,). ``fold_of`` (n_posts,): its fold, from 0 (data.split.assign_folds).

    ``fit``: given a fold and the posts of all others, in order, with ``further`` posts after them (translated ones,
    which no metric is for) but for translations of the fold's posts; it returns what scores posts. One model at a time
    is in memory.
    """
    result = np.empty(len(posts))
    for fold in range(int(fold_of.max()) + 1):
        held_out = np.flatnonzero(fold_of == fold).tolist()
        rest = [posts[index] for index in np.flatnonzero(fold_of != fold).tolist()]
        rest += without_translations_of(further, [posts[index] for index in held_out])
        score = fit(fold, rest)
        result[held_out] = score([posts[index].post for index in held_out])
        del score  # the next fold's needs its memory
    return result
