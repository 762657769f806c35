"""What a threshold is best at: an objective as a function of counts, the larger the better."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import FBetaObjective, Objective, PrecisionObjective, RecallObjective
from polyvigil.metrics import f1, f_beta

Array: TypeAlias = NDArray[np.float64]
Value: TypeAlias = Callable[[Array, Array, Array], Array]
"""True positives, false positives and false negatives of each cut (n_cuts,), expected counts as well -> its value."""


def value_of(objective: Objective) -> Value:
    """The value of a language's counts. F1 stands for pooled-f1 and budget too: both choose among languages first."""
    match objective:
        case FBetaObjective():
            return partial(f_beta, beta=objective.beta)
        case RecallObjective():
            return partial(_recall_first, at_least=objective.at_least)
        case PrecisionObjective():
            return partial(_precision_first, at_least=objective.at_least)
        case _:
            return f1


def beta_of(objective: Objective) -> float:
    """The beta of an F objective (1 for F1); 0 for an objective that is none."""
    if isinstance(objective, RecallObjective | PrecisionObjective):
        return 0.0
    return objective.beta if isinstance(objective, FBetaObjective) else 1.0


def _recall_first(tp: Array, fp: Array, fn: Array, *, at_least: float) -> Array:
    """Below the demanded recall: the recall. From there on: 1 + precision, so the fewest flags win."""
    recall, precision = _share(tp, tp + fn), _share(tp, tp + fp)
    return np.where(recall >= at_least - _EPSILON, 1 + precision, recall)


def _precision_first(tp: Array, fp: Array, fn: Array, *, at_least: float) -> Array:
    """Below the demanded precision: the precision. From there on: 1 + recall."""
    recall, precision = _share(tp, tp + fn), _share(tp, tp + fp)
    return np.where(precision >= at_least - _EPSILON, 1 + recall, precision)


_EPSILON = 1e-12


def _share(part: Array, whole: Array) -> Array:
    top, bottom = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)
