"""Agreement of two readers: equal to published values, and to a calculation with fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score

from polyvigil.evaluation.agreement import agreement, cohens_kappa, gwets_ac1

ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
"""Two abstractors on 100 pregnancies: the table cont3x3abstractors in the overview of the R package irrCAC 1.0."""


def test_kappa_is_the_published_one() -> None:
    kappa = cohens_kappa(ABSTRACTORS)
    assert kappa is not None
    assert kappa.value == pytest.approx(0.7964094, abs=5e-8)
    assert kappa.standard_error == pytest.approx(0.05891072, abs=5e-9)
    assert (round(kappa.low, 3), round(kappa.high, 3)) == (0.68, 0.913)


def test_ac1_is_the_published_one() -> None:
    ac1 = gwets_ac1(ABSTRACTORS)
    assert ac1 is not None
    assert ac1.value == pytest.approx(0.8493305, abs=5e-8)
    assert ac1.standard_error == pytest.approx(0.04321747, abs=5e-9)
    assert (round(ac1.low, 3), round(ac1.high, 3)) == (0.764, 0.935)


def test_high_agreement_on_a_rare_label() -> None:
    """Gwet (2008), table 2: two raters, 118 + 5 + 2 + 0 of 125 subjects; kappa is below 0, AC1 above 0.9."""
    first, second = [1] * 118 + [1] * 5 + [0] * 2, [1] * 118 + [0] * 5 + [1] * 2
    result = agreement(first, second)
    assert result.agreement == 118 / 125
    assert result.kappa is not None
    assert result.kappa.value == pytest.approx(-0.0234, abs=5e-5)
    assert result.ac1 is not None
    assert result.ac1.value == pytest.approx(0.9408, abs=5e-5)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60))
def test_against_fractions_and_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = (list(labels) for labels in zip(*pairs, strict=True))
    result, n = agreement(first, second), len(pairs)
    both, one = sum(a and b for a, b in pairs), sum(a != b for a, b in pairs)
    assert (result.posts, result.both, result.one) == (n, both, one)
    observed = Fraction(n - one, n)
    assert result.agreement == pytest.approx(float(observed), abs=1e-12)
    mean = Fraction(sum(first) + sum(second), 2 * n)
    chance = 2 * mean * (1 - mean)
    assert result.ac1 is not None
    assert result.ac1.value == pytest.approx(float((observed - chance) / (1 - chance)), abs=1e-9)
    if result.kappa is None:
        assert set(first) == set(second)
        assert len(set(first)) == 1
    else:
        assert result.kappa.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)
    if both + one:
        assert result.positive_agreement == pytest.approx(f1_score(first, second), abs=1e-12)
        assert result.positive_interval.low <= result.positive_agreement <= result.positive_interval.high
    else:
        assert result.positive_agreement is None
        assert (result.positive_interval.low, result.positive_interval.high) == (0.0, 1.0)


def test_standard_errors_are_those_of_the_jackknife() -> None:
    """Both standard errors against leaving out one post at a time, on a table large enough for them to agree."""
    table = np.array([[880, 25], [15, 80]])
    for coefficient in (cohens_kappa, gwets_ac1):
        whole = coefficient(table)
        assert whole is not None
        values, posts = [], []
        for cell in np.ndindex(2, 2):
            without = table.copy()
            without[cell] -= 1
            left = coefficient(without)
            assert left is not None
            values.append(left.value)
            posts.append(table[cell])
        mean, n = np.average(values, weights=posts), table.sum()
        variance = (n - 1) / n * (np.array(posts) * (np.array(values) - mean) ** 2).sum()
        assert whole.standard_error == pytest.approx(np.sqrt(variance), rel=0.02)


def test_intervals_cover() -> None:
    random = np.random.default_rng(3)
    cells = np.array([0.85, 0.05, 0.03, 0.07])
    truth_pa = 2 * 0.07 / (2 * 0.07 + 0.08)
    mean = (0.12 + 0.10) / 2
    truth_ac1 = 1 - 0.08 / (1 - 2 * mean * (1 - mean))
    held_pa = held_ac1 = 0
    for _ in range(400):
        cell = random.choice(4, 300, p=cells)
        result = agreement(cell // 2, cell % 2)
        held_pa += result.positive_interval.low <= truth_pa <= result.positive_interval.high
        assert result.ac1 is not None
        held_ac1 += result.ac1.low <= truth_ac1 <= result.ac1.high
    assert held_pa / 400 >= 0.93
    assert held_ac1 / 400 >= 0.92


def test_one_post_and_no_post() -> None:
    single = agreement([1], [1])
    assert (single.kappa, single.ac1, single.positive_agreement) == (None, None, 1.0)
    for first, second in (([], []), ([1], []), ([2], [1])):
        with pytest.raises(ValueError):
            agreement(first, second)
