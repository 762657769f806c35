"""Thresholds found on stored probabilities. A rule maps scores and labels of one language to a cut.

Posts are flagged when p >= threshold (decide.policy holds that comparison). A score of exactly 0 means "nothing to
read" and can never be flagged: every threshold is above 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.metrics import f1
from polyvigil.records import Labels, Probabilities
from polyvigil.specs import ThresholdRule

PAPER_GRID: NDArray[np.float64] = np.arange(20, 80) / 100
"""0.20, 0.21, ... 0.79: the grid of the paper's code, which leaves 0.80 out."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A threshold in (0, 1] and the F1 it reaches on the posts it was found on (an optimistic figure)."""

    threshold: float
    f1: float


def argmax(probabilities: Probabilities, labels: Labels) -> Cut:
    """Best F1 over every cut between two neighbouring distinct scores; the lowest such cut on ties (more recall).

    The cut lies in the middle between the two scores, so it does not hang on the last digits of one. O(n log n).
    Raises ValueError without a positive post of a score above 0.
    """
    order = np.argsort(-probabilities, kind="stable")
    last = _last_of_each_score(probabilities[order])
    tp = np.cumsum(labels[order] == 1)[last]
    if not len(tp) or not tp[-1]:
        raise ValueError("no positive post with a score above 0")
    figures = f1(tp, last + 1 - tp, np.count_nonzero(labels == 1) - tp)
    best = len(figures) - 1 - int(np.argmax(figures[::-1]))
    scores = probabilities[order][last]
    above = scores[best]
    below = scores[best + 1] if best + 1 < len(scores) else 0.0
    middle = (above + below) / 2
    return Cut(float(middle if middle > below else above), float(figures[best]))


def paper_grid(probabilities: Probabilities, labels: Labels) -> Cut:
    """Best F1 over PAPER_GRID, the lowest threshold on ties (the paper's released code). For reproduction."""
    positives = np.sort(probabilities[labels == 1])
    negatives = np.sort(probabilities[labels == 0])
    tp = len(positives) - np.searchsorted(positives, PAPER_GRID, side="left")
    fp = len(negatives) - np.searchsorted(negatives, PAPER_GRID, side="left")
    figures = f1(tp, fp, len(positives) - tp)
    best = int(np.argmax(figures))
    return Cut(float(PAPER_GRID[best]), float(figures[best]))


RULES: Mapping[ThresholdRule, Callable[[Probabilities, Labels], Cut]] = {"argmax": argmax, "paper-grid": paper_grid}


def _last_of_each_score(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of scores sorted downward, the last place of each distinct one above 0."""
    last = np.flatnonzero(np.diff(scores, append=-1.0))
    return last[scores[last] > 0]
