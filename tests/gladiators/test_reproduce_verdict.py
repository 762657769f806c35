"""Verdicts: by the interval, by what is printed, and none where figures are not to be compared."""

from __future__ import annotations

import pytest

from polyvigil.evaluation.intervals import Interval
from polyvigil_gladiators.result import VERDICTS, Verdict, verdict


@pytest.mark.parametrize(
    ("paper", "low", "high", "decimals", "expected"),
    [
        (0.738, 0.70, 0.77, 3, "reproduced"),
        (0.738, 0.7384, 0.80, 3, "reproduced"),  # .7384 is printed as .738
        (0.738, 0.7386, 0.80, 3, "differs"),
        (0.7505, 0.7506, 0.80, 4, "differs"),
        (0.70, 0.60, 0.6951, 2, "reproduced"),
        (0.70, 0.60, 0.6949, 2, "differs"),
        (9.7e-6, 9.698e-6, 9.698e-6, 7, "reproduced"),  # a learning rate, by its digits
        (9.7e-6, 9.5e-6, 9.5e-6, 7, "differs"),
        (0.0, 0.0, 0.0, 7, "reproduced"),
        (11_700, 11_743, 11_743, -2, "reproduced"),  # the paper prints 11.7k
        (11_700, 11_751, 11_751, -2, "differs"),
    ],
)
def test_the_paper_s_value_is_in_the_interval(
    paper: float, low: float, high: float, decimals: int, expected: str
) -> None:
    told = verdict(paper, Interval(low=low, high=high), decimals=decimals, meaningless=False, other_data=False)
    assert told == expected


@pytest.mark.parametrize(
    ("meaningless", "other_data", "expected"),
    [(True, True, "meaningless"), (True, False, "meaningless"), (False, True, "other data")],
)
def test_incomparable_values_are_not_compared(meaningless: bool, other_data: bool, expected: Verdict) -> None:
    for interval in (Interval(low=0.0, high=1.0), None):
        assert verdict(0.5, interval, decimals=3, meaningless=meaningless, other_data=other_data) == expected
    assert expected in VERDICTS


def test_values_missing_in_the_paper_are_shown_alone() -> None:
    interval = Interval(low=0.0, high=1.0)
    assert verdict(None, interval, decimals=3, meaningless=False, other_data=False) == "ours alone"
    assert verdict(None, interval, decimals=3, meaningless=False, other_data=True) == "ours alone"


def test_without_an_interval_there_is_no_verdict() -> None:
    assert verdict(0.5, None, decimals=3, meaningless=False, other_data=False) == "not judged"
