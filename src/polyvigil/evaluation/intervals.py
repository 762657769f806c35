"""Intervals on figures that are functions of a confusion table.

Recall and false-positive rate are drawn from their Beta posteriors under Jeffreys' prior, Beta(1/2, 1/2) (Brown, Cai
and DasGupta 2001), the numbers of positives and negatives held fixed, and the figure is computed from each draw. So a
perfect table has an interval too, which a bootstrap over posts denies it.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import beta

from polyvigil.metrics import Counts, f1
from polyvigil.types import Frozen

LEVEL = 0.95
_SAMPLES = 4000


class Interval(Frozen):
    """A central 95% interval; 0 <= low <= high <= 1."""

    low: float
    high: float


def share_interval(part: int, whole: int) -> Interval:
    """Jeffreys' interval of a share (precision, recall): [0, 1] of none, closed at a bound that is reached."""
    if whole == 0:
        return Interval(low=0.0, high=1.0)
    tail = (1 - LEVEL) / 2
    low, high = beta.ppf([tail, 1 - tail], part + 0.5, whole - part + 0.5)
    return Interval(low=0.0 if part == 0 else float(low), high=1.0 if part == whole else float(high))


def f1_interval(counts: Counts) -> Interval:
    """Interval of F1 for as many positives and negatives as were seen; [0, 1] without positives.

    Deterministic: the draws of one table are the same in every run.
    """
    positives, negatives = counts.tp + counts.fn, counts.fp + counts.tn
    if positives == 0:
        return Interval(low=0.0, high=1.0)
    random = np.random.default_rng(0)
    tp = positives * random.beta(counts.tp + 0.5, counts.fn + 0.5, _SAMPLES)
    fp = negatives * random.beta(counts.fp + 0.5, counts.tn + 0.5, _SAMPLES)
    sampled = f1(tp, fp, positives - tp)
    low, high = np.quantile(sampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(low=float(min(low, counts.f1)), high=float(max(high, counts.f1)))
