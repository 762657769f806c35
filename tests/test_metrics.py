"""Figures against scikit-learn's, on random cases with ties, one class, and nothing at all."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from polyvigil.metrics import Counts, average_precision, count, f1, macro


def test_counts_and_rates_equal_scikit_learn_on_2000_cases() -> None:
    random = np.random.default_rng(1)
    for _ in range(2000):
        size = int(random.integers(1, 30))
        labels = (random.random(size) < random.random()).astype(np.int8)
        flags = random.random(size) < random.random()
        counts = count(labels, flags)
        assert counts.tp + counts.fp + counts.fn + counts.tn == size
        theirs = precision_recall_fscore_support(labels, flags, average="binary", zero_division=0)
        assert (counts.precision, counts.recall, counts.f1) == pytest.approx(theirs[:3], abs=1e-12)


@pytest.mark.filterwarnings("ignore:No positive class found")
def test_average_precision_equals_scikit_learn_on_1000_cases() -> None:
    random = np.random.default_rng(2)
    for _ in range(1000):
        size = int(random.integers(1, 40))
        labels = (random.random(size) < random.random()).astype(np.int8)
        scores = np.round(random.random(size), int(random.integers(0, 4)))
        expected = average_precision_score(labels, scores) if labels.any() else 0.0
        assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)


def test_nothing_divided_by_nothing_is_zero() -> None:
    assert Counts(0, 0, 0, 5).f1 == Counts(0, 0, 0, 5).precision == Counts(0, 0, 0, 5).recall == 0.0
    assert f1(np.array([0, 1]), np.array([0, 0]), np.array([0, 1])).tolist() == [0.0, 2 / 3]
    assert macro({}) == 0.0
    assert macro({"en": 0.5, "ja": 1.0}) == 0.75


def test_shapes_must_match() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) labels"):
        count(np.zeros(2, dtype=np.int8), np.zeros(3, dtype=bool))
