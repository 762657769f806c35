"""Whether a figure of the paper was found again."""

from __future__ import annotations

from polyvigil.evaluation.intervals import Interval
from polyvigil_gladiators.result import Verdict


def verdict(
    paper: float | None, interval: Interval | None, *, decimals: int, meaningless: bool, other_data: bool
) -> Verdict:
    """By the interval of our figure that was found the paper's way: does the paper's, as printed, lie in it?

    ``decimals``: places printed, -2 where the paper prints hundreds; half a unit of the last one is allowed for.
    ``meaningless`` and ``other_data`` come first: such figures are not compared. ``paper``: None where it has none.
    """
    if meaningless:
        return "meaningless"
    if paper is None:
        return "ours alone"
    if other_data:
        return "other data"
    if interval is None:
        return "not judged"
    rounding = 0.5 * 10.0**-decimals + 1e-12
    return "reproduced" if interval.low - rounding <= paper <= interval.high + rounding else "differs"
