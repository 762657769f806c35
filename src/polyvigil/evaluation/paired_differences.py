"""The difference between two systems in one figure, on one set of posts: F1, average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from polyvigil.evaluation.bootstrap import entry_ranks, resampled_average_precision
from polyvigil.evaluation.decision_cells import cells_of, randomisation_p, resampled_differences
from polyvigil.evaluation.intervals import LEVEL, share_interval
from polyvigil.evaluation.paired_result import Difference
from polyvigil.metrics import average_precision, count
from polyvigil.types import Labels, Probabilities

POWER = 0.8
_TAIL = (1 - LEVEL) / 2
_SIGMAS = float(-norm.ppf(_TAIL))
_DETECTABLE = float(_SIGMAS + norm.ppf(POWER))  # 2.80 standard errors
_NO_VARIATION = 1e-12


def f1_difference(
    labels: Labels, first: NDArray[np.bool_], second: NDArray[np.bool_], strata: NDArray[np.str_], *, rounds: int
) -> Difference:
    """Difference in F1 of (n_posts,) flags: percentiles of the Bayesian bootstrap, p by it and by randomisation."""
    if not (labels == 1).any():
        return _no_difference(p_randomisation=1.0)
    cells = cells_of(labels, first, second, strata)
    random = np.random.default_rng(0)
    sampled = resampled_differences(cells, rounds=rounds, random=random)
    if not cells.discordant:
        sampled = np.append(sampled, -sampled)  # the law is symmetric, so the draws may be
    low, high = np.quantile(sampled, [_TAIL, 1 - _TAIL])
    error = float(sampled.std())
    return Difference(
        first=count(labels, first).f1,
        second=count(labels, second).f1,
        difference=cells.difference,
        low=min(float(low), cells.difference),
        high=max(float(high), cells.difference),
        standard_error=error,
        detectable=_DETECTABLE * error,
        p_bootstrap=_p_of(sampled),
        p_randomisation=randomisation_p(cells, rounds=rounds, random=random),
    )


def ranking_difference(
    labels: Labels, first: Probabilities, second: Probabilities, strata: NDArray[np.str_], *, rounds: int
) -> Difference:
    """Difference in average precision of (n_posts,) scores: normal with the resampled standard error.

    Where every resample gives the same difference, as for two perfect rankings, the half-width is the upper bound of a
    share of none of the positives.
    """
    positives = int(np.count_nonzero(labels == 1))
    if not positives:
        return _no_difference()
    values = average_precision(labels, first), average_precision(labels, second)
    difference = values[0] - values[1]
    ranks = np.stack([entry_ranks(labels, first), entry_ranks(labels, second)])
    sampled = resampled_average_precision(labels, ranks, strata.tolist(), rounds=rounds)
    error = float(np.std(sampled[:, 0] - sampled[:, 1]))
    if error < _NO_VARIATION:
        error = share_interval(0, positives).high / _SIGMAS
    return Difference(
        first=values[0],
        second=values[1],
        difference=difference,
        low=max(difference - _SIGMAS * error, -1.0),
        high=min(difference + _SIGMAS * error, 1.0),
        standard_error=error,
        detectable=_DETECTABLE * error,
        p_bootstrap=float(2 * norm.sf(abs(difference) / error)),
    )


def _p_of(sampled: NDArray[np.float64]) -> float:
    """Two-sided p of "no difference": twice the smaller share of draws on either side of 0, in (0, 1]."""
    sides = np.count_nonzero(sampled <= 0), np.count_nonzero(sampled >= 0)
    return min(2 * (min(sides) + 1) / (len(sampled) + 1), 1.0)


def _no_difference(*, p_randomisation: float | None = None) -> Difference:
    return Difference(
        first=0.0, second=0.0, difference=0.0, low=-1.0, high=1.0, p_bootstrap=1.0, p_randomisation=p_randomisation
    )
