"""How much of the spread of scores goes with something that is no ADE: a group a post is in, or its length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from polyvigil.decide.thresholds import logit
from polyvigil.types import Probabilities


def eta_squared(scores: Probabilities, groups: Sequence[str]) -> float:
    """Share of the variance of the logit that lies between the groups (Fisher's correlation ratio), in [0, 1].

    Scores (n_posts,) with their groups in the same order. 0 where there is no variance or no post.
    """
    if not len(scores):
        return 0.0
    values = logit(scores)
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    posts = np.bincount(codes)
    means = np.bincount(codes, weights=values) / posts
    total = float(np.sum((values - values.mean()) ** 2))
    between = float(posts @ (means - values.mean()) ** 2)
    return min(between / total, 1.0) if total > 1e-12 * len(values) else 0.0


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's correlation of two rows of (n_posts,) numbers, in [-1, 1]; ties share their mean rank.

    0 where one of them does not vary.
    """
    ranks = np.stack([rankdata(first), rankdata(second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    return float(np.clip(ranks[0] @ ranks[1] / norms.prod(), -1, 1)) if norms.all() else 0.0


def beyond_correlation(correlation: float, posts: int, limit: float) -> bool:
    """Whether the 95% interval of a correlation lies beyond ``limit`` on either side (Fisher's z, posts > 3)."""
    near = np.arctanh(min(abs(correlation), 1 - 1e-9)) - 1.96 / np.sqrt(posts - 3)
    return bool(np.tanh(near) > limit)
