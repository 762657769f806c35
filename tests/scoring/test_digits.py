"""Numbers in six significant digits agree with the decision made on all of them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from polyvigil.scoring.digits import rounded, rounded_all, rounded_probabilities


def rounded_probability(p: float, threshold: float, *, flagged: bool) -> float:
    return float(rounded_probabilities(np.array([p]), np.array([threshold]), np.array([flagged]))[0])


UNIT = st.floats(min_value=0, max_value=1)


@given(p=UNIT, threshold=st.floats(min_value=1e-9, max_value=1))
@example(p=0.12345649, threshold=0.1234565)
@example(p=0.12345651, threshold=0.12345652)
@example(p=math.nextafter(1.0, 0), threshold=1.0)
@example(p=math.nextafter(1e-5, 0), threshold=1e-5)
@example(p=0.12345649, threshold=0.12345649)
def test_a_rounded_probability_stays_on_its_side(p: float, threshold: float) -> None:
    flagged, shown = p >= threshold, rounded(threshold)
    written = rounded_probability(p, shown, flagged=flagged)
    assert (written >= shown) == flagged
    assert written == rounded(written) == float(str(written))
    assert abs(written - p) <= 1.6e-5 * max(p, threshold)


@given(p=UNIT, q=UNIT, threshold=st.floats(min_value=1e-9, max_value=1))
def test_the_order_of_probabilities_is_kept(p: float, q: float, threshold: float) -> None:
    low, high = sorted((p, q))
    shown = rounded(threshold)
    first, second = (rounded_probability(value, shown, flagged=value >= threshold) for value in (low, high))
    assert first <= second


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_six_digits_are_the_nearest(value: float) -> None:
    assert rounded(value) == float(f"{value:.5e}")


@given(st.lists(st.one_of(UNIT, st.integers(0, 10**7).map(lambda n: n / 10**7), st.floats(0, 1e-15)), min_size=1))
@example([0.0, 1.0, 0.1, 1e-5, 0.9999995, 0.99999949999, 5e-324, 0.30000045, 0.1234565, 1e-17])
def test_many_numbers_are_rounded_as_each_is(values: list[float]) -> None:
    expected = [rounded(value) for value in values]
    assert rounded_all(np.array(values)).tolist() == expected
    many = [value for value in values for _ in range(40)]  # few are rounded another way
    assert rounded_all(np.array(many)).tolist() == [value for value in expected for _ in range(40)]
