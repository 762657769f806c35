"""Holm's correction for several tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the order given, each in [0, 1]; reject those at or under the level asked for.

    The k-th smallest of m is multiplied by m - k + 1, then none may lie under a smaller one's (Holm 1979): the chance
    of any false alarm among the m stays under the level, whatever ties the tests together.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return tuple(adjusted.tolist())
