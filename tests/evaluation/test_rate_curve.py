"""The rate along the score: its mode and its posterior against twins that share no code with it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from polyvigil.evaluation.rate_curve import BIN, GRID, binned, fit_curve, logits, recalibrate

RANDOM = np.random.default_rng(11)
POSTS = np.round(RANDOM.normal(-2, 1.5, 400) / BIN) * BIN
LABELS = (RANDOM.random(400) < 0.01 + 0.99 * expit(1.2 * POSTS - 0.4)).astype(np.int8)
UNREAD = np.round(RANDOM.normal(-4, 1.0, 3000) / BIN) * BIN
THRESHOLD = -1.0


def log_posterior(parameters: np.ndarray, expected: float) -> np.ndarray:
    """Of (m, 4) parameters, post by post, as the docstring of the module words it."""
    near = POSTS <= THRESHOLD + 2
    u, y = POSTS[near], LABELS[near]
    a, b, c, log_h = (parameters[:, i : i + 1] for i in range(4))
    h = np.exp(np.minimum(log_h, -1))
    rate = h + (1 - h) * expit(a * u + b + c * np.minimum(0, u - THRESHOLD))
    likelihood = np.where(y == 1, np.log(rate), np.log1p(-rate)).sum(axis=1)
    centre = np.array([1, 0, 0, np.log(0.1 * expected / len(UNREAD))])
    return likelihood - (((parameters - centre) / np.array([1, 2, 1, 2])) ** 2).sum(axis=1) / 2


def expected_misses() -> float:
    fitted = recalibrate(POSTS, LABELS.astype(float))
    return float(fitted.rates(UNREAD).sum())


def test_logits_are_finite() -> None:
    assert logits(np.array([0.0, 0.5, 1.0])) == pytest.approx([logit(1e-9), 0.0, -logit(1e-9)])


def test_posts_fall_into_the_nearest_bin() -> None:
    assert GRID[binned(np.array([-30.0, -2.1, -2.14, 0.0, 30.0]))].tolist() == [-14, -2, -2.25, 0, 8.75]


def test_recalibration_is_the_posterior_mode() -> None:
    def loss(ab: np.ndarray) -> float:
        p = expit(ab[0] * POSTS + ab[1])
        prior = ((ab[0] - 1) / 0.5) ** 2 / 2 + (ab[1] / 2) ** 2 / 2
        return float(prior - np.where(LABELS == 1, np.log(p), np.log1p(-p)).sum())

    twin = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    fitted = recalibrate(POSTS, LABELS.astype(float))
    assert (fitted.slope, fitted.offset) == pytest.approx(tuple(twin.x), abs=1e-6)
    assert fitted.rates(POSTS).mean() == pytest.approx(LABELS.mean(), abs=0.01)


def test_recalibration_rises_even_where_labels_fall() -> None:
    falling = recalibrate(np.linspace(-3, 3, 200), (np.arange(200) < 100).astype(float))
    assert falling.slope == pytest.approx(0.05)
    identity = recalibrate(np.empty(0), np.empty(0))
    assert (identity.slope, identity.offset) == (1.0, 0.0)


def test_the_mode_is_the_highest_posterior() -> None:
    curve = fit_curve(POSTS, LABELS, UNREAD, threshold=THRESHOLD, random=np.random.default_rng(0))
    expected = expected_misses()

    def loss(parameters: np.ndarray) -> float:
        return -float(log_posterior(parameters[None], expected)[0])

    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 20_000, "maxfev": 20_000}
    twin = minimize(loss, curve.mode + 0.1, method="Nelder-Mead", options=options)
    assert loss(curve.mode) <= twin.fun + 1e-4
    assert curve.rates(UNREAD) == pytest.approx(_rates(twin.x, UNREAD), rel=0.02)


def _rates(parameters: np.ndarray, posts: np.ndarray) -> np.ndarray:
    a, b, c, log_h = parameters
    return np.exp(log_h) + (1 - np.exp(log_h)) * expit(a * posts + b + c * np.minimum(0, posts - THRESHOLD))


def test_the_posterior_is_that_of_a_random_walk() -> None:
    """Mean and quantiles of the misses against a Metropolis chain on the posterior written post by post."""
    random = np.random.default_rng(2)
    curve = fit_curve(POSTS, LABELS, UNREAD, threshold=THRESHOLD, random=random, samples=20_000)
    missed = curve.missed(UNREAD, random)
    expected = expected_misses()
    walkers, step = 400, np.array([0.12, 0.25, 0.25, 0.7])
    now = curve.mode + step * random.normal(size=(walkers, 4))
    value = log_posterior(now, expected)
    kept = []
    for round_ in range(1500):
        tried = now + step * random.normal(size=(walkers, 4))
        new = np.where((tried[:, 3] <= -1) & (tried[:, 0] >= 0.02), log_posterior(tried, expected), -np.inf)
        taken = np.log(random.random(walkers)) < new - value
        now[taken], value[taken] = tried[taken], new[taken]
        if round_ >= 500 and round_ % 20 == 0:
            kept += [random.poisson(_rates(one, UNREAD).sum()) for one in now]
    assert missed @ curve.weights == pytest.approx(np.mean(kept), rel=0.04)
    order = np.argsort(missed)
    reached = np.cumsum(curve.weights[order])
    for tail in (0.025, 0.5, 0.975):
        assert missed[order][np.searchsorted(reached, tail)] == pytest.approx(np.quantile(kept, tail), rel=0.08)
