"""Labels and flags to counts, counts to metrics. Zero-division and averaging are fixed here and nowhere else.

A metric whose denominator is zero is 0.0 (scikit-learn's ``zero_division=0``). The positive class is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.types import Labels, Probabilities


@dataclass(frozen=True, slots=True)
class Counts:
    """The confusion table of class 1."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float:
        """tp / (tp + fp), in [0, 1]."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """tp / (tp + fn), in [0, 1]."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 tp / (2 tp + fp + fn), in [0, 1]."""
        return float(f1(self.tp, self.fp, self.fn))


def count(labels: Labels, flags: NDArray[np.bool_]) -> Counts:
    """The confusion table of (n,) labels and (n,) flags. Raises ValueError when the shapes differ."""
    if labels.shape != flags.shape:
        raise ValueError(f"{labels.shape} labels, {flags.shape} flags")
    gold = labels == 1
    tp = int(np.count_nonzero(gold & flags))
    flagged = int(np.count_nonzero(flags))
    positives = int(np.count_nonzero(gold))
    return Counts(tp, flagged - tp, positives - tp, len(labels) - flagged - positives + tp)


def f1(
    tp: NDArray[np.floating] | NDArray[np.integer] | float,
    fp: NDArray[np.floating] | NDArray[np.integer] | float,
    fn: NDArray[np.floating] | NDArray[np.integer] | float,
) -> NDArray[np.float64]:
    """F1 of counts, element by element: 2 tp / (2 tp + fp + fn), 0 where nothing is positive or flagged."""
    twice = 2.0 * np.asarray(tp, dtype=np.float64)
    whole = twice + fp + fn
    return np.divide(twice, whole, out=np.zeros_like(whole), where=whole > 0)


def f_beta(
    tp: NDArray[np.floating] | NDArray[np.integer] | float,
    fp: NDArray[np.floating] | NDArray[np.integer] | float,
    fn: NDArray[np.floating] | NDArray[np.integer] | float,
    *,
    beta: float,
) -> NDArray[np.float64]:
    """F-beta of counts: (1 + b^2) tp / ((1 + b^2) tp + fp + b^2 fn); 0 where nothing is positive or flagged."""
    square = beta * beta
    top = (1 + square) * np.asarray(tp, dtype=np.float64)
    whole = top + fp + square * np.asarray(fn, dtype=np.float64)
    return np.divide(top, whole, out=np.zeros_like(whole), where=whole > 0)


def average_precision(labels: Labels, probabilities: Probabilities) -> float:
    """Area under the precision-recall steps, sum of (R_k - R_{k-1}) P_k over distinct scores from the top, in [0, 1].

    Posts of equal score enter together, as in scikit-learn. 0.0 without positives.
    """
    order = np.argsort(-probabilities, kind="stable")
    scores = probabilities[order]
    tp = np.cumsum(labels[order] == 1)
    if not len(tp) or not tp[-1]:
        return 0.0
    last_of_score = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    tp = tp[last_of_score]
    precision = tp / (last_of_score + 1)
    return float(np.sum(np.diff(tp, prepend=0) * precision) / tp[-1])


def macro(values: Mapping[str, float]) -> float:
    """Unweighted mean over languages, in [0, 1]; 0.0 of none."""
    return float(np.mean(list(values.values()))) if values else 0.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
