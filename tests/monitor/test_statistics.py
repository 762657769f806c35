"""The control charts: identities, an oracle for the distance, limits that hold, and changes that are found."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import t

from polyvigil.monitor.charts import WeeklyCounts, other_scripts, prevalence_charts, stream_charts
from polyvigil.monitor.statistics import distance_chart, divergence, limit, rate_chart, scaled_share, share_of

K = 8


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12))
def test_the_divergence_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(some, dtype=float) for some in zip(*pairs, strict=True))
    if not first.sum() or not second.sum():
        return
    assert divergence(first, second) == pytest.approx(jensenshannon(first, second) ** 2, abs=1e-12)
    assert divergence(first, second) == pytest.approx(divergence(second, 3 * first), abs=1e-12)
    assert 0 <= divergence(first, second) <= np.log(2) + 1e-12


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_is_taken_back_from_its_scale(part: int, whole: int) -> None:
    part = min(part, whole)
    scaled = scaled_share(np.array(part, dtype=float), np.array(whole, dtype=float))
    assert share_of(scaled, np.array(float(whole))) == pytest.approx(part / whole, abs=1e-9)


def test_the_limit_is_a_quantile_of_student() -> None:
    assert 2 * 100 * 13 * t.sf(limit(15, charts=100, false_alarms=0.5), 15) == pytest.approx(0.5)
    assert limit(15, charts=100, false_alarms=0.5) > limit(15, charts=10, false_alarms=0.5)
    assert limit(15, charts=10, false_alarms=0.5, sides=1) < limit(15, charts=10, false_alarms=0.5)


def test_a_chart_of_many_streams_is_that_of_each() -> None:
    random = np.random.default_rng(0)
    totals = random.poisson(400, (3, 5, 12)).astype(float)
    counts = random.binomial(totals.astype(int), 0.1).astype(float)
    histograms = random.multinomial(300, [0.1, 0.2, 0.3, 0.4], (3, 5, 12)).astype(float)
    together, distances = rate_chart(counts, totals, K), distance_chart(histograms, K)
    for index in np.ndindex(3, 5):
        alone, distance = rate_chart(counts[index], totals[index], K), distance_chart(histograms[index], K)
        for name in ("values", "means", "statistic", "center", "deviation"):
            assert np.allclose(getattr(together, name)[index], getattr(alone, name), equal_nan=True)
            assert np.allclose(getattr(distances, name)[index], getattr(distance, name), equal_nan=True)
    assert np.isnan(together.statistic[..., :K]).all()
    assert np.isfinite(together.statistic[..., K:]).all()


def test_a_statistic_of_binomial_counts_has_the_spread_of_student() -> None:
    random = np.random.default_rng(1)
    totals = np.full((20_000, 10), 300.0)
    statistic = rate_chart(random.binomial(300, 0.05, totals.shape).astype(float), totals, K).statistic[:, 9]
    assert abs(statistic.mean()) < 0.1
    assert 0.8 < statistic.std() < 1.05  # below 1: weeks are allowed to vary more than binomial counts do
    assert np.mean(np.abs(statistic) > limit(15, charts=10, false_alarms=0.5)) < 0.5 / 130


@pytest.mark.parametrize(("between", "most"), [(0.1, 0.002), (0.2, 0.005), (0.3, 0.01)])
def test_weeks_that_vary_raise_few_alarms(between: float, most: float) -> None:
    random = np.random.default_rng(2)
    odds = 0.05 / 0.95 * np.exp(between * random.normal(size=(4000, 20)))
    counts = random.binomial(5000, odds / (1 + odds)).astype(float)
    chart = rate_chart(counts, np.full(counts.shape, 5000.0), K)
    assert np.mean(np.abs(chart.statistic[:, K:]) > limit(15, charts=40, false_alarms=0.5)) < most


def test_a_histogram_that_changes_is_beyond_the_limit_at_once() -> None:
    random = np.random.default_rng(3)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    histograms = random.multinomial(1000, shares, (500, 12)).astype(float)
    histograms[:, 10:] = random.multinomial(1000, shares[::-1], (500, 2))
    beyond = distance_chart(histograms, K).statistic > limit(15, charts=100, false_alarms=0.5, sides=1)
    assert not np.any(beyond[:, :10])
    assert np.mean(beyond[:, 11]) > 0.99


def test_empty_and_constant_counts_say_nothing_false() -> None:
    zeros, totals = np.zeros(12), np.full(12, 100.0)
    chart = rate_chart(zeros, totals, K)
    assert np.abs(chart.statistic[K:]).max() < 1e-6
    assert np.isfinite(distance_chart(np.tile([50.0, 0.0, 50.0], (12, 1)), K).statistic[K:]).all()
    burst = zeros.copy()
    burst[10:] = 30
    assert rate_chart(burst, totals, K).statistic[11] > 8


def weekly(posts: np.ndarray, scripts: np.ndarray) -> WeeklyCounts:
    fixed = {field.name: posts * 0.1 for field in fields(WeeklyCounts)}
    bins = np.stack([posts / 2, posts / 2], axis=-1)
    given = {"rows": posts, "posts": posts, "squares": posts * 0.02, "scores": bins, "lengths": bins}
    return WeeklyCounts(**fixed | given | {"scripts": scripts})


def test_other_scripts_are_those_that_are_not_the_commonest_of_the_reference() -> None:
    posts = np.full(12, 100.0)
    scripts = np.tile([20.0, 80.0, 0.0], (12, 1))
    scripts[10:] = [90.0, 5.0, 5.0]
    counts = weekly(posts, scripts)
    assert other_scripts(counts, K).tolist() == [20.0] * 10 + [95.0] * 2
    charts = stream_charts(counts, K)
    assert abs(charts["scripts"].statistic[11]) > 10
    assert abs(charts["flagged"].statistic[11]) < 1
    assert prevalence_charts(counts, K).keys() < charts.keys()
