"""Two systems on the same weighted posts: differences of F1, recall and precision, with intervals and a lower bound.

In: labels, both systems' flags, and of each post the number of posts that it stands for. Out: a `WeightedDifference`
for each metric, the second system's less the first's.

A post falls into one of eight cells (its label, and which systems flagged it), as in evaluation.decision_cells. The
weighted number of posts of a cell has the gamma law of evaluation.audit_estimate (Fay and Feuer 1997): the mean and the
variance of the weighted sum, to each half a post's added (Jeffreys), of the mean weight that such a post is expected to
have; so systems that agree on all posts have no interval of zero width. Where no post of a stratum was flagged by the
first system, none could be: an audit is of what it cleared. Cells of one stratum (posts of a language that were chosen
alike) are brought to the stratum's number of posts, so that of equal weights this is the Bayesian bootstrap of
decision_cells with that number fixed. Posts stay paired: what both systems share does not count as difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.intervals import LEVEL
from polyvigil.metrics import f1
from polyvigil.types import Frozen, Labels

Floats = NDArray[np.float64]
SAMPLES = 4000
_PRIOR = 0.5
_TAIL = (1 - LEVEL) / 2
_FLAGGED_BY_SECOND, _FLAGGED_BY_FIRST = [0, 2], [0, 1]
"""Of the decisions both, first only, second only, neither."""
_BY_SYSTEM = (_FLAGGED_BY_FIRST, _FLAGGED_BY_SECOND)


class WeightedDifference(Frozen):
    """A metric of two systems over all posts that the weighted ones stand for; ``difference`` = second - first."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    """Of the central 95% interval."""
    at_least: float
    at_most: float
    """One-sided: each holds in 95%."""


@dataclass(frozen=True)
class DecidedPosts:
    """Posts of one language that were chosen alike (a stratum), with both systems' decisions; arrays (n_posts,)."""

    labels: Labels
    weights: Floats
    chances: Floats
    """P(ADE) of each, by which an unseen ADE's weight is expected."""
    first: NDArray[np.bool_]
    second: NDArray[np.bool_]


@dataclass(frozen=True)
class CellCounts:
    """Weighted numbers of posts by label (0, 1) and decision (both, first only, second only, neither)."""

    value: Floats
    """(2, 4): as they were counted."""
    samples: Floats
    """(SAMPLES, 2, 4): of their posterior."""

    def __add__(self, other: CellCounts) -> CellCounts:
        return CellCounts(self.value + other.value, self.samples + other.samples)

    def difference(self, metric: str) -> WeightedDifference:
        """Of ``f1``, ``recall`` or ``precision``."""
        first, second = (_metric(self.value, columns, metric) for columns in _BY_SYSTEM)
        samples = _metric(self.samples, _FLAGGED_BY_SECOND, metric) - _metric(self.samples, _FLAGGED_BY_FIRST, metric)
        value = float(second - first)
        low, at_least, at_most, high = np.quantile(samples, [_TAIL, 2 * _TAIL, 1 - 2 * _TAIL, 1 - _TAIL]).tolist()
        return WeightedDifference(
            first=float(first),
            second=float(second),
            difference=value,
            low=min(low, value),
            high=max(high, value),
            at_least=min(at_least, value),
            at_most=max(at_most, value),
        )


def count_cells(strata: Sequence[DecidedPosts], random: np.random.Generator) -> CellCounts:
    """The cells of all strata together."""
    counts = CellCounts(np.zeros((2, 4)), np.zeros((SAMPLES, 2, 4)))
    for stratum in strata:
        counts += _stratum_cells(stratum, random)
    return counts


def _stratum_cells(posts: DecidedPosts, random: np.random.Generator) -> CellCounts:
    value, samples = np.zeros((2, 4)), np.zeros((SAMPLES, 2, 4))
    decision = _decisions(posts)
    for column in range(4):
        alike = posts.first == (column in _FLAGGED_BY_FIRST)
        if not alike.any():  # posts of this stratum were chosen by the first system's decision
            continue
        for label in (0, 1):
            mask = (decision == column) & (posts.labels == label)
            likely = label == 1 or column in _FLAGGED_BY_SECOND
            chances = posts.chances if likely else 1 - posts.chances
            weight = _expected_weight(posts.weights[alike], chances[alike])
            value[label, column] = posts.weights[mask].sum()
            samples[:, label, column] = _sampled_number(posts.weights[mask], weight, random)
    samples *= (posts.weights.sum() / samples.sum(axis=(1, 2)))[:, None, None]
    return CellCounts(value, samples)


def _decisions(posts: DecidedPosts) -> NDArray[np.int64]:
    """Both, first only, second only, neither: (n_posts,), as 0 to 3."""
    decisions: NDArray[np.int64] = 3 - 2 * posts.first.astype(np.int64) - posts.second
    return decisions


def _sampled_number(weights: Floats, prior_weight: float, random: np.random.Generator) -> Floats:
    """Samples of the number of posts that the ``weights`` (n,) of those counted stand for: (SAMPLES,)."""
    mean = float(weights.sum()) + _PRIOR * prior_weight
    variance = float((weights**2).sum()) + _PRIOR * prior_weight**2
    return random.gamma(mean**2 / variance, variance / mean, SAMPLES)


def _expected_weight(weights: Floats, chances: Floats) -> float:
    """The mean weight of a post of a label, ``chances`` being how likely each post is to have it."""
    expected = weights * np.maximum(chances, 1e-9)
    return float((expected * weights).sum() / expected.sum())


class FlagRates(Frozen):
    """The share of posts that each system flags, in [0, 1], and the second's over the first's with its 95% interval."""

    first: float
    second: float
    ratio: float
    """Half a post counted more in each."""
    low: float
    high: float


def flag_rates(strata: Sequence[DecidedPosts], random: np.random.Generator) -> FlagRates:
    """Of all strata together, at least one post; their labels do not matter."""
    weights, decision = np.concatenate([one.weights for one in strata]), np.concatenate(list(map(_decisions, strata)))
    half = _PRIOR * float(weights.mean())
    by_decision = [weights[decision == column] for column in range(4)]
    samples = np.stack([_sampled_number(some, float(weights.mean()), random) for some in by_decision])
    first, second = (float(sum(by_decision[column].sum() for column in columns)) for columns in _BY_SYSTEM)
    ratios = samples[_FLAGGED_BY_SECOND].sum(axis=0) / samples[_FLAGGED_BY_FIRST].sum(axis=0)
    ratio = (second + half) / (first + half)
    low, high = np.quantile(ratios, [_TAIL, 1 - _TAIL]).tolist()
    total = float(weights.sum())
    return FlagRates(
        first=first / total, second=second / total, ratio=ratio, low=min(low, ratio), high=max(high, ratio)
    )


def _metric(cells: Floats, columns: Sequence[int], metric: str) -> Floats:
    """Of tables (..., 2, 4), the system that flagged ``columns``."""
    tp, fp = cells[..., 1, columns].sum(axis=-1), cells[..., 0, columns].sum(axis=-1)
    fn = cells[..., 1, :].sum(axis=-1) - tp
    if metric == "f1":
        return f1(tp, fp, fn)
    whole = tp + (fn if metric == "recall" else fp)
    result: Floats = np.divide(tp, whole, out=np.zeros_like(np.asarray(tp)), where=np.asarray(whole) > 0)
    return result
