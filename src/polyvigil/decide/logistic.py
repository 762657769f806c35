"""Logistic regressions of a few weights with normal priors and lower bounds, one for each group of posts.

All groups are solved together by Newton's method with step halving. The loss is strictly convex, thanks to the prior,
so separated or one-class posts have an optimum too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 100
_HALVINGS = 60
_DONE = 1e-12
"""A step that promises less than this of the loss is the last."""
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Problem:
    """Logistic regressions of k weights, one for each group of posts; all are solved at once."""

    features: _Floats
    """(k, n): the posts of a group stand together."""
    labels: _Floats
    counts: NDArray[np.int64]
    """(groups,): posts of each, at least one."""
    centre: _Floats
    """(k, groups): the prior's mean."""
    precision: _Floats
    """(k, 1): one over the prior's variance."""
    lowest: _Floats
    """(k,): bounds of the weights, -inf for none."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """The first post of each group."""
        return np.cumsum(self.counts) - self.counts


def solve(problem: Problem) -> _Floats:
    """The weights of the least loss within the bounds, (k, groups).

    The loss is strictly convex. So the best weights are the free optimum where it keeps the bounds, and else the best
    of those optima with some weights on their bound that keep the others.
    """
    lowest = problem.lowest[:, None]
    best = _newton(problem, problem.centre, pinned=())
    outside = (best < lowest).any(axis=0)
    if not outside.any():
        return best
    least = np.where(outside, np.inf, _loss(problem, best)[0])
    bounded = np.flatnonzero(np.isfinite(problem.lowest)).tolist()
    for pinned in chain.from_iterable(combinations(bounded, size) for size in range(1, len(bounded) + 1)):
        start = problem.centre.copy()
        start[list(pinned)] = lowest[list(pinned)]
        weights = _newton(problem, start, pinned=pinned)
        loss = np.where((weights < lowest).any(axis=0), np.inf, _loss(problem, weights)[0])
        better = outside & (loss < least)
        best, least = np.where(better, weights, best), np.where(better, loss, least)
    return best


def _newton(problem: Problem, weights: _Floats, *, pinned: Sequence[int]) -> _Floats:
    """The weights of the least loss, (k, groups), the ``pinned`` ones of them kept as they are."""
    features, starts = problem.features, problem.starts
    free = np.ones(len(features))
    free[list(pinned)] = 0
    products = features[:, None] * features * np.outer(free, free)[:, :, None]
    # a pinned weight has slope 0 and curvature 1 and no others: its step is 0, and the matrix can be inverted
    ridge = np.diag(np.where(free > 0, problem.precision[:, 0], 1.0))[:, :, None]
    loss, mean = _loss(problem, weights)
    for _ in range(_ROUNDS):
        slope = np.add.reduceat(features * (mean - problem.labels), starts, axis=1)
        slope = (slope + problem.precision * (weights - problem.centre)) * free[:, None]
        curvature = np.add.reduceat(products * (mean * (1 - mean)), starts, axis=2) + ridge
        step = np.linalg.solve(curvature.transpose(2, 0, 1), slope.T[:, :, None])[:, :, 0].T
        promised = (slope * step).sum(axis=0)
        going = promised > _DONE
        if not going.any():
            return weights - step  # so near the optimum that the step need not be tried
        length = np.ones(len(starts))
        for _ in range(_HALVINGS):
            tried = weights - length * step
            new_loss, new_mean = _loss(problem, tried)
            # Armijo's rule: halved until it brings a ten-thousandth of what the slope promises of such a step. The last
            # term is the rounding of the loss itself.
            short = going & (new_loss > loss - 1e-4 * length * promised + 1e-12 * np.abs(loss))
            if not short.any():
                break
            length[short] /= 2
        weights, loss, mean = tried, new_loss, new_mean
    return weights


def _loss(problem: Problem, weights: _Floats) -> tuple[_Floats, _Floats]:
    """Minus the log of likelihood x prior of each group, (groups,), and P of each post, (n,)."""
    scores = (weights.repeat(problem.counts, axis=1) * problem.features).sum(axis=0)
    tail = np.exp(-np.abs(scores))  # never of a positive number, which could overflow
    mean = np.where(scores >= 0, 1.0, tail) / (1 + tail)
    each = np.maximum(scores, 0) + np.log1p(tail) - problem.labels * scores
    prior = (problem.precision * (weights - problem.centre) ** 2).sum(axis=0) / 2
    return np.add.reduceat(each, problem.starts) + prior, mean
