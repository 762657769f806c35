"""Differences of weighted posts: by hand, against the unweighted bootstrap, and their coverage in made-up streams."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from polyvigil.evaluation.decision_cells import cells_of, resampled_differences
from polyvigil.evaluation.weighted_difference import DecidedPosts, WeightedDifference, count_cells, flag_rates
from polyvigil.metrics import count
from polyvigil.review.sampling import sample_audit


def posts(n: int, *, seed: int = 0, weight: float = 1.0) -> DecidedPosts:
    random = np.random.default_rng(seed)
    labels = (random.random(n) < 0.3).astype(np.int8)
    flags = [(random.random(n) < np.where(labels == 1, 0.8, 0.1)) for _ in range(2)]
    return DecidedPosts(labels, np.full(n, weight), np.full(n, 0.3), flags[0], flags[1])


def f1(*strata: DecidedPosts, metric: str = "f1") -> WeightedDifference:
    return count_cells(strata, np.random.default_rng(0)).difference(metric)


def test_values_are_those_of_the_posts_that_are_stood_for() -> None:
    one, other = posts(60), posts(40, seed=1, weight=3.0)
    labels = np.concatenate([one.labels, np.repeat(other.labels, 3)])
    flags = [np.concatenate([getattr(one, side), np.repeat(getattr(other, side), 3)]) for side in ("first", "second")]
    counts = [count(labels, some) for some in flags]
    for metric in ("f1", "recall", "precision"):
        difference = f1(one, other, metric=metric)
        assert difference.first == pytest.approx(getattr(counts[0], metric))
        assert difference.second == pytest.approx(getattr(counts[1], metric))
        assert difference.difference == pytest.approx(difference.second - difference.first)
        assert difference.low <= difference.at_least <= difference.difference <= difference.at_most <= difference.high
    rates = flag_rates([one, other], np.random.default_rng(0))
    assert (rates.first, rates.second) == pytest.approx(tuple(some.mean() for some in flags))
    assert rates.low < rates.ratio < rates.high
    assert rates.ratio == pytest.approx(flags[1].sum() / flags[0].sum(), rel=0.02)


def test_equal_weights_give_the_interval_of_the_unweighted_bootstrap() -> None:
    one = posts(400)
    weighted = f1(one)
    cells = cells_of(one.labels, one.second, one.first, np.full(400, "en"))
    sampled = resampled_differences(cells, rounds=20_000, random=np.random.default_rng(1))
    assert (weighted.low, weighted.high) == pytest.approx(tuple(np.quantile(sampled, [0.025, 0.975])), abs=0.01)


def test_equal_systems_have_an_interval_about_zero() -> None:
    one = posts(200)
    same = f1(DecidedPosts(one.labels, one.weights, one.chances, one.first, one.first))
    assert same.low < 0 == same.difference < same.high
    nothing = np.zeros(200, dtype=bool)
    rates = flag_rates([DecidedPosts(one.labels, one.weights, one.chances, nothing, nothing)], np.random.default_rng(0))
    assert (rates.first, rates.second, rates.ratio) == (0, 0, 1)
    assert rates.low < 0.1
    assert rates.high > 10


def stream(random: np.random.Generator, more: float) -> tuple[DecidedPosts, DecidedPosts, float]:
    """A queue of which a fifth is held out and an audit of 200, out of 6,000 posts; and the true difference in F1."""
    labels = (random.random(6000) < 0.05).astype(np.int8)
    common, own = random.normal(size=(2, 6000))
    old, new = common + 2.6 * labels, 0.95 * common + 0.31 * own + (2.6 + more) * labels
    chances = 1 / (1 + np.exp(-2.6 * (old - 1.3) + 3))
    flags = old > 1.9, new > 1.9
    sample = sample_audit(chances, np.full(6000, "en"), 200, seed=int(random.integers(2**31)), frame=~flags[0])
    held_out = flags[0] & (random.random(6000) < 0.2)

    def part(mask: NDArray[np.bool_], weights: NDArray[np.float64]) -> DecidedPosts:
        return DecidedPosts(*(array[mask] for array in (labels, weights, chances, *flags)))

    queue = part(held_out, np.full(6000, flags[0].sum() / held_out.sum()))
    audit = part(sample.sampled, 1 / np.maximum(sample.inclusion, 1e-9))
    return queue, audit, count(labels, flags[1]).f1 - count(labels, flags[0]).f1


@pytest.mark.parametrize("more", [0.0, -0.5])
def test_intervals_and_bounds_cover(more: float) -> None:
    random = np.random.default_rng(3)
    covered, bounded, runs = 0, 0, 120
    for _ in range(runs):
        queue, audit, truth = stream(random, more)
        difference = f1(queue, audit)
        covered += difference.low <= truth <= difference.high
        bounded += difference.at_least <= truth
    assert covered / runs > 0.9
    assert bounded / runs > 0.9
