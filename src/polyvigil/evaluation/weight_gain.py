"""What fitted weights gain over equal ones on posts that they were not fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from polyvigil.decide.rules import DevScores
from polyvigil.decide.weights import cross_fitted_weights
from polyvigil.evaluation.bootstrap import ROUNDS
from polyvigil.evaluation.groups import groups_of
from polyvigil.evaluation.intervals import LEVEL
from polyvigil.evaluation.paired_differences import ranking_difference
from polyvigil.types import Frozen

_SIGMAS = float(norm.ppf((1 + LEVEL) / 2))


class WeightGain(Frozen):
    """Pooled average precision, the mean over folds; each fold's posts are ranked by weights fitted on the others.

    Not that of all posts in one ranking: the means of two sets of weights need not be on one scale.
    """

    fitted: float
    equal: float
    gain: float
    """``fitted`` less ``equal``, in [-1, 1], with its 95% interval."""
    low: float
    high: float
    folds: int
    """Those with positives. With none there is nothing to tell: figures 0, the interval [-1, 1]."""


def weight_gain(
    by_member: NDArray[np.float64], posts: DevScores, *, groups: Sequence[str] = (), rounds: int = ROUNDS
) -> WeightGain:
    """Of fitting weights for ``by_member`` (n_members, n_posts) on ``posts``, which give labels and languages.

    The folds hold different posts, so their errors add up as those of independent figures. Deterministic.
    """
    masks = groups_of(posts.languages.tolist())
    equal = by_member.mean(axis=0)
    fold_results = []
    for held_out, weights in cross_fitted_weights(by_member, posts, groups=groups):
        mask = held_out & masks.pooled
        if not (posts.labels[mask] == 1).any():
            continue
        fold_results.append(
            ranking_difference(
                posts.labels[mask], weights @ by_member[:, mask], equal[mask], masks.names[mask], rounds=rounds
            )
        )
    if not fold_results:
        return WeightGain(fitted=0.0, equal=0.0, gain=0.0, low=-1.0, high=1.0, folds=0)
    difference = float(np.mean([fold.difference for fold in fold_results]))
    half = _SIGMAS * float(np.sqrt(sum((fold.standard_error or 0.0) ** 2 for fold in fold_results))) / len(fold_results)
    return WeightGain(
        fitted=float(np.mean([fold.first for fold in fold_results])),
        equal=float(np.mean([fold.second for fold in fold_results])),
        gain=difference,
        low=max(difference - half, -1.0),
        high=min(difference + half, 1.0),
        folds=len(fold_results),
    )
