"""The stopping statement: against an enumeration of all orders, and true often enough in simulation."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.evaluation.stopping import recall_p_value, stopping_statement


def brute_force(labels: list[int], posts: int, target: float) -> float:
    """The same test, window by window, with whole numbers."""
    if len(labels) == posts:
        return 0.0
    found, smallest = sum(labels), 1.0
    total = next(n for n in range(1, 10 * posts + 10) if found / n < target)
    for k in [len(labels)] if len(labels) <= 20 else [*range(20, len(labels) + 1)]:
        in_window = sum(labels[-k:])
        before = posts - len(labels) + k
        ades = total - (found - in_window)
        if ades - in_window > posts - len(labels):
            return 0.0
        ways = sum(comb(ades, hit) * comb(before - ades, k - hit) for hit in range(in_window + 1))
        smallest = min(smallest, ways / comb(before, k))
    return smallest


@given(st.lists(st.integers(0, 1), max_size=40), st.integers(0, 8), st.sampled_from([0.3, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_against_whole_numbers(labels: list[int], unread: int, target: float) -> None:
    value = recall_p_value(np.array(labels, dtype=np.int8), len(labels) + unread, target)
    if not labels and unread:
        assert value == 1.0
    else:
        assert value == pytest.approx(brute_force(labels, len(labels) + unread, target), abs=1e-12)


def test_the_chance_of_one_window_is_the_share_of_all_orders() -> None:
    """Of all orders of 10 posts with 4 ADEs, how many hold at most 1 among the first 5: the window's p-value."""
    few = sum(len({0, 1, 2, 3} & set(chosen)) <= 1 for chosen in combinations(range(10), 5))
    value = recall_p_value(np.array([0, 0, 1, 0, 0], dtype=np.int8), 10, 0.3)  # 1 found: 4 are the fewest below 30%
    assert value == pytest.approx(few / comb(10, 5))


def test_the_statement_is_the_largest_recall_that_the_test_allows() -> None:
    labels = np.array([1] * 30 + [0] * 300, dtype=np.int8)
    statement = stopping_statement(labels, 1000)
    assert (statement.posts, statement.read, statement.ades) == (1000, 330, 30)
    assert 0.7 < statement.recall < 1
    assert recall_p_value(labels, 1000, statement.recall) < 0.05
    assert recall_p_value(labels, 1000, statement.recall + 0.001) >= 0.05
    assert stopping_statement(labels, 330).recall == 1.0
    assert stopping_statement(np.zeros(400, dtype=np.int8), 1000).recall == 0.0
    assert stopping_statement(np.array([1, 1, 1], dtype=np.int8), 1000).recall == pytest.approx(0.003, abs=1e-4)
    assert stopping_statement(np.empty(0, dtype=np.int8), 10).recall == 0.0


def test_reading_on_never_turns_the_statement_down_without_an_ade() -> None:
    start = [1, 1, 0, 1, 1, 0, 1, 1, 1, 0] * 4
    recalls = [
        stopping_statement(np.array(start + [0] * more, dtype=np.int8), 5000).recall for more in range(0, 1500, 100)
    ]
    assert (np.diff(recalls) >= -2e-4).all()
    assert recalls[-1] > 0.7


@pytest.mark.parametrize("target", [0.8, 0.9])
def test_what_is_stated_holds(target: float) -> None:
    """Scores that know something and hide 15% of the ADEs; reading stops at the first look where the test allows it."""
    random = np.random.default_rng(5)
    held = 0
    runs = 120
    for _ in range(runs):
        labels = (random.random(3000) < 0.04).astype(np.int8)
        hidden = (random.random(3000) < 0.15) & (labels == 1)
        scores = random.normal(0, 1, 3000) + 2.6 * (labels & ~hidden)
        ordered = labels[np.argsort(-scores)]
        read = 200
        while read < 3000 and recall_p_value(ordered[:read], 3000, target) >= 0.05:
            read = int(read * 1.05) + 1
        held += ordered[:read].sum() >= target * ordered.sum()
    assert held / runs >= 0.92


@pytest.mark.parametrize(("posts", "target"), [(3, 0.0), (3, 1.1), (2, 0.5)])
def test_senseless_questions(posts: int, target: float) -> None:
    with pytest.raises(ValueError):
        recall_p_value(np.array([1, 0, 0], dtype=np.int8), posts, target)
