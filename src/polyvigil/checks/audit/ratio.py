"""How many times as many posts one decision flags as another, on the same posts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.intervals import LEVEL
from polyvigil.types import Frozen

_SAMPLES = 4000


class Ratio(Frozen):
    """``value`` = flagged by the second / flagged by the first, half a post counted more in each; its 95% interval."""

    value: float
    low: float
    high: float

    def beyond(self, factor: float) -> bool:
        """Whether it is ``factor`` (> 1) or more, or the same downwards, and the interval leaves out 1."""
        far = self.value >= factor or self.value <= 1 / factor
        return far and not self.low <= 1 <= self.high


def flag_ratio(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Ratio:
    """Of flags (n_posts,) in the same order.

    The four cells of the two decisions are drawn from their Dirichlet posterior under Jeffreys' prior (as in
    assess.intervals), so that posts which both flag narrow the interval, and none flagged has one too. Deterministic.
    """
    both, old, new = (int(np.count_nonzero(cell)) for cell in (first & second, first & ~second, second & ~first))
    neither = len(first) - both - old - new
    value = (both + new + 0.5) / (both + old + 0.5)
    random = np.random.default_rng(0)
    sampled = random.dirichlet(np.array([both, old, new, neither]) + 0.5, _SAMPLES)
    ratios = (sampled[:, 0] + sampled[:, 2]) / (sampled[:, 0] + sampled[:, 1])
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(value=value, low=min(float(low), value), high=max(float(high), value))
