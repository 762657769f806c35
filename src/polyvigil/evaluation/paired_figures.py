"""The difference between two systems in one figure, on one set of posts: F1, average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from polyvigil.evaluation.bootstrap import entry_places, resampled_average_precision
from polyvigil.evaluation.decision_cells import cells_of, randomisation_p, resampled_differences
from polyvigil.evaluation.intervals import LEVEL, share_interval
from polyvigil.evaluation.paired_result import Difference
from polyvigil.metrics import average_precision, count
from polyvigil.types import Labels, Probabilities

POWER = 0.8
_TAIL = (1 - LEVEL) / 2
_SIGMAS = float(-norm.ppf(_TAIL))
_DETECTABLE = float(_SIGMAS + norm.ppf(POWER))  # 2.80 standard errors
_NO_SPREAD = 1e-12


def f1_difference(
    labels: Labels, first: NDArray[np.bool_], second: NDArray[np.bool_], strata: NDArray[np.str_], *, rounds: int
) -> Difference:
    """Difference in F1 of (n_posts,) flags: percentiles of the Bayesian bootstrap, p by it and by randomisation."""
    if not (labels == 1).any():
        return _nothing_to_tell(p_randomisation=1.0)
    cells = cells_of(labels, first, second, strata)
    random = np.random.default_rng(0)
    drawn = resampled_differences(cells, rounds=rounds, random=random)
    if not cells.discordant:
        drawn = np.append(drawn, -drawn)  # the law is symmetric, so the draws may be
    low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL])
    error = float(drawn.std())
    return Difference(
        first=count(labels, first).f1,
        second=count(labels, second).f1,
        difference=cells.difference,
        low=min(float(low), cells.difference),
        high=max(float(high), cells.difference),
        standard_error=error,
        detectable=_DETECTABLE * error,
        p_bootstrap=_p_of(drawn),
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
        return _nothing_to_tell()
    figures = average_precision(labels, first), average_precision(labels, second)
    difference = figures[0] - figures[1]
    places = np.stack([entry_places(labels, first), entry_places(labels, second)])
    drawn = resampled_average_precision(labels, places, strata.tolist(), rounds=rounds)
    error = float(np.std(drawn[:, 0] - drawn[:, 1]))
    if error < _NO_SPREAD:
        error = share_interval(0, positives).high / _SIGMAS
    return Difference(
        first=figures[0],
        second=figures[1],
        difference=difference,
        low=max(difference - _SIGMAS * error, -1.0),
        high=min(difference + _SIGMAS * error, 1.0),
        standard_error=error,
        detectable=_DETECTABLE * error,
        p_bootstrap=float(2 * norm.sf(abs(difference) / error)),
    )


def _p_of(drawn: NDArray[np.float64]) -> float:
    """Two-sided p of "no difference": twice the smaller share of draws on either side of 0, in (0, 1]."""
    sides = np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0)
    return min(2 * (min(sides) + 1) / (len(drawn) + 1), 1.0)


def _nothing_to_tell(*, p_randomisation: float | None = None) -> Difference:
    return Difference(
        first=0.0, second=0.0, difference=0.0, low=-1.0, high=1.0, p_bootstrap=1.0, p_randomisation=p_randomisation
    )
