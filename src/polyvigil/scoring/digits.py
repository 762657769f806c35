"""Six significant digits for the numbers that scoring gives out, such that they still agree with the decision.

A threshold is rounded. A probability is rounded to the side of its threshold that it lies on: where the nearest number
of six digits lies on the other side, the neighbour is taken, one unit of the last digit away.
"""

from __future__ import annotations

from decimal import Context
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DIGITS = 6
_POWERS = np.array([10.0**n for n in range(23)])
"""Those that a float holds exactly."""
_NEAR_A_TIE = 1e-4
_FEW = 32  # values: to round as many one by one takes as long as the first of many
_CONTEXT = Context(prec=DIGITS)


def rounded(value: float) -> float:
    """The number of six significant digits that is nearest to ``value``."""
    return float(f"{value:.{DIGITS}g}")


def rounded_all(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``rounded`` of numbers in [0, 1], (n,).

    A whole number of six digits over a power of ten is the float nearest to that decimal, since both are exact. What is
    too near to the middle of two such numbers, too small, or not of six digits so, is rounded as text; so are few.
    """
    if len(values) <= _FEW:
        return np.array([rounded(value) for value in values.tolist()])
    with np.errstate(divide="ignore"):
        power = DIGITS - 1 - np.floor(np.log10(values))
    scale = _POWERS[np.clip(np.nan_to_num(power, posinf=0), 0, len(_POWERS) - 1).astype(np.int64)]
    scaled = values * scale
    whole = np.rint(scaled)
    result: NDArray[np.float64] = whole / scale
    sure = (scaled >= 10.0 ** (DIGITS - 1)) & (scaled < 10.0**DIGITS)
    sure &= np.abs(np.abs(scaled - whole) - 0.5) > _NEAR_A_TIE
    sure |= values == 0
    for index in np.flatnonzero(~sure).tolist():
        result[index] = rounded(float(values[index]))
    return result


def rounded_probabilities(
    p: NDArray[np.float64], thresholds: NDArray[np.float64], flagged: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Each p in six significant digits, (n,): at least its threshold where ``flagged``, else below it.

    The thresholds have six significant digits already.
    """
    near = rounded_all(p)
    result = np.where(flagged, np.maximum(near, thresholds), near)
    for index in np.flatnonzero(~flagged & (near >= thresholds)).tolist():
        result[index] = _below(float(thresholds[index]))
    return result


@lru_cache(maxsize=1024)
def _below(value: float) -> float:
    """The largest number of six significant digits below one of them."""
    return float(_CONTEXT.next_minus(_CONTEXT.create_decimal(repr(value))))
