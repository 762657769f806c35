"""Six significant digits for the numbers that scoring gives out, such that they still agree with the decision.

A threshold is rounded. A probability is rounded to the side of its threshold that it lies on: where the nearest number
of six digits lies on the other side, the neighbour is taken, one unit of the last digit away.
"""

from __future__ import annotations

from decimal import Context
from functools import lru_cache

DIGITS = 6
_CONTEXT = Context(prec=DIGITS)


def rounded(value: float) -> float:
    """The number of six significant digits that is nearest to ``value``."""
    return float(f"{value:.{DIGITS}g}")


def rounded_probability(p: float, threshold: float, *, flagged: bool) -> float:
    """``p`` in six significant digits: at least ``threshold`` where ``flagged``, else below it.

    ``threshold`` has six significant digits already.
    """
    near = rounded(p)
    if flagged:
        return max(near, threshold)
    return near if near < threshold else _below(threshold)


@lru_cache(maxsize=1024)
def _below(value: float) -> float:
    """The largest number of six significant digits below one of them."""
    return float(_CONTEXT.next_minus(_CONTEXT.create_decimal(repr(value))))
