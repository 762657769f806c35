"""The searches: scores and labels of some posts -> the cut of the best value.

Posts are flagged when p >= threshold (decide.policy holds that comparison). A score of exactly 0 means "nothing to
read" and can never be flagged: every threshold is above 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.calibration import logs
from polyvigil.decide.objectives import Array, Value
from polyvigil.metrics import f1
from polyvigil.types import Labels, Probabilities

PAPER_GRID: NDArray[np.float64] = np.arange(20, 81) / 100
"""0.20, 0.21, ... 0.80: the 61 thresholds of the paper's code, both ends in.

Its ``np.arange(0.20, 0.80, 0.01)`` ends with 0.8000000000000005, since the steps are rounded upward; it writes
thresholds with two decimals, and so decides new posts by 0.80.
"""
NO_THRESHOLD = 0.5
"""The paper's threshold where none on its grid finds anything."""
RESAMPLES = 40


@dataclass(frozen=True, slots=True)
class Optimum:
    """A threshold in (0, 1], and what it reaches on the posts it was found on (optimistic)."""

    threshold: float
    value: float
    tp: float
    """Positives flagged; expected ones where gains are."""
    flagged: float


def argmax(probabilities: Probabilities, labels: Labels, *, value: Value = f1) -> Optimum:
    """Best value over every cut between two neighbouring distinct scores; the lowest such cut on ties (more recall).

    The cut lies in the middle between the two scores, so it does not hang on the last digits of one. O(n log n).
    Raises ValueError without a positive post of a score above 0.
    """
    order = np.argsort(-probabilities, kind="stable")
    gold = (labels[order] == 1).astype(np.float64)
    return _sweep(probabilities[order], gold, np.ones(len(gold)), value)


def expected_argmax(calibrated: Probabilities, *, value: Value) -> Optimum:
    """The cut of the best value of expected counts, were each post positive with its own ``calibrated`` P."""
    scores = -np.sort(-calibrated)
    return _sweep(scores, scores, np.ones(len(scores)), value)


def best_expected_f(calibrated: Probabilities, *, beta: float = 1.0) -> float:
    """F* of calibrated P: the best F-beta of expected counts over all cuts, in [0, 1].

    F_k = (1 + b^2)(q_1 + ... + q_k) / (k + b^2 (sum of all q)), q sorted downward; flagging where q > F*/(1 + b^2)
    reaches it (Lipton, Elkan and Naryanaswamy 2014, theorem 1, for b = 1).
    """
    sums = np.cumsum(-np.sort(-calibrated))
    if not len(sums) or not sums[-1]:
        return 0.0
    return float(np.max((1 + beta**2) * sums / (np.arange(1, len(sums) + 1) + beta**2 * sums[-1])))


def paper_grid(probabilities: Probabilities, labels: Labels, *, value: Value = f1) -> Optimum:
    """Best value over PAPER_GRID, the lowest threshold on ties; 0.5 where none has a value above 0. For reproduction.

    Source: the paper's released code, which keeps 0.5 until a threshold has an F1 above the best so far.
    """
    positives = np.sort(probabilities[labels == 1])
    negatives = np.sort(probabilities[labels == 0])
    tp = (len(positives) - np.searchsorted(positives, PAPER_GRID, side="left")).astype(np.float64)
    fp = (len(negatives) - np.searchsorted(negatives, PAPER_GRID, side="left")).astype(np.float64)
    values = value(tp, fp, len(positives) - tp)
    best = int(np.argmax(values))
    if not values[best] > 0:
        best = int(np.searchsorted(PAPER_GRID, NO_THRESHOLD))
    return Optimum(float(PAPER_GRID[best]), float(values[best]), float(tp[best]), float(tp[best] + fp[best]))


def bootstrap_thresholds(
    probabilities: Probabilities, labels: Labels, *, value: Value = f1, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """The ``argmax`` thresholds of bootstrap resamples within each class: (n,), n <= ``resamples``, not sorted.

    The same whatever the order of the posts. A resample without a positive score above 0 gives none.
    """
    order = np.lexsort((labels, -probabilities))  # one order whatever the given one, and so the same resamples
    scores, gold = probabilities[order], (labels[order] == 1).astype(np.float64)
    random = np.random.default_rng(seed)
    thresholds = []
    for _ in range(resamples):
        weights = resample_weights(gold > 0, random)
        kept = weights > 0
        if (gold[kept] * scores[kept]).any():
            thresholds.append(_sweep(scores[kept], gold[kept], weights[kept], value).threshold)
    return np.array(thresholds)


def at_share(probabilities: Probabilities, share: float) -> float:
    """The threshold that flags this share of the posts, in (0, 1]; with ties the nearest share below it.

    Scores of 0 are never flagged; a share of less than half a post flags none that is below 1.
    """
    scores = -np.sort(-probabilities)
    n_flagged = round(share * len(scores))
    above = scores[:n_flagged]
    left_out = float(scores[n_flagged]) if n_flagged < len(scores) else 0.0
    lowest = float(above[above > left_out].min(initial=1.0))
    middle = (lowest + left_out) / 2
    return middle if middle > left_out else lowest


def resample_weights(gold: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.float64]:
    """How often each post is sampled when positives and negatives are each resampled with replacement: (n,)."""
    weights = np.zeros(len(gold))
    for indices in (np.flatnonzero(gold), np.flatnonzero(~gold)):
        if len(indices):
            sampled = random.integers(len(indices), size=len(indices))
            weights[indices] = np.bincount(sampled, minlength=len(indices))
    return weights


def logit(p: Probabilities) -> Array:
    """ln(p / (1 - p)), p held inside [1e-6, 1 - 1e-6]."""
    low, high = logs(p)
    return low + high


def mean_logit(thresholds: NDArray[np.float64]) -> float:
    """The sigmoid of the mean of the logits of some thresholds."""
    return float(1 / (1 + np.exp(-np.mean(logit(thresholds)))))


def _sweep(scores: Array, gold: Array, weights: Array, value: Value) -> Optimum:
    """Scores sorted downward; a post counts ``weights`` times, ``gains`` of it positive (0, 1, or an expectation)."""
    last = _last_of_each_score(scores)
    positives = weights * gold
    tp = np.cumsum(positives)[last]
    if not len(tp) or not tp[-1]:
        raise ValueError("no positive post with a score above 0")
    flagged = np.cumsum(weights)[last]
    values = value(tp, flagged - tp, positives.sum() - tp)
    best = len(values) - 1 - int(np.argmax(values[::-1]))  # of equal values the last: the lowest cut
    distinct = scores[last]
    above = distinct[best]
    below = distinct[best + 1] if best + 1 < len(distinct) else 0.0
    middle = (above + below) / 2
    threshold = float(middle if middle > below else above)  # between neighbouring floats the middle may be the lower
    return Optimum(threshold, float(values[best]), float(tp[best]), float(flagged[best]))


def _last_of_each_score(scores: Array) -> NDArray[np.int64]:
    """Of scores sorted downward, the last place of each distinct one above 0."""
    ends = scores > 0
    ends[:-1] &= scores[:-1] != scores[1:]
    return np.flatnonzero(ends)
