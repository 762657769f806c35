"""Pooling of windows: logits and probabilities agree with plain arithmetic, finite for logits of any size."""
# ruff: noqa: E402

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from polyvigil.config.model import Pooling
from polyvigil.nn.pooling import POOLINGS, pooled_log_odds, pooled_logits
from polyvigil.nn.windows import WindowScores, starts_of

COUNTS = [1, 3, 1, 2, 9, 1]


def plain(p: np.ndarray, how: Pooling) -> float:
    return {"max": float(p.max()), "mean": float(p.mean()), "noisy-or": float(1 - np.prod(1 - p))}[how]


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_pooling_equals_plain_arithmetic(how: Pooling, spread: float) -> None:
    starts = starts_of(COUNTS)
    logits = torch.randn(sum(COUNTS), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * spread
    p = torch.softmax(logits, dim=1)[:, 1].numpy()
    expected = [plain(p[a:b], how) for a, b in itertools.pairwise(starts)]
    of_scores = WindowScores(p, starts).pooled(how)
    of_logits = torch.softmax(pooled_logits(logits, starts, how), dim=1)[:, 1].numpy()
    assert np.abs(of_scores - expected).max() < 1e-12
    assert np.abs(of_logits - expected).max() < 1e-12


@pytest.mark.parametrize("how", POOLINGS)
def test_one_window_stays_bit_by_bit(how: Pooling) -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(2)) * 9
    alone = np.arange(7)
    assert pooled_logits(logits, alone, how) is logits
    mixed = pooled_logits(logits, np.array([0, 1, 3, 4, 5, 6]), how)
    assert torch.equal(mixed[[0, 2, 3, 4]], logits[[0, 3, 4, 5]])
    p = np.random.default_rng(0).random(6)
    assert np.array_equal(WindowScores(p, alone).pooled(how), p)
    assert WindowScores(np.empty(0), np.array([0])).pooled(how).shape == (0,)


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_odds_of_any_size_have_finite_values_and_gradients(how: Pooling, dtype: torch.dtype) -> None:
    for values in ([-1e4, -1e4], [1e4, -1e4], [1e4, 1e4], [-40.0, -30.0, -200.0], [0.0, 80.0], [-15.0, -15.001]):
        z = torch.tensor(values, dtype=dtype, requires_grad=True)
        found = pooled_log_odds(z, how)
        found.backward()
        assert torch.isfinite(found)
        assert torch.isfinite(z.grad).all()
        assert z.grad.min() >= 0
        low = min(values) if how == "mean" else max(values) - 1e-3
        high = sum(z for z in values if z > 0) if how == "noisy-or" else max(values)  # of sure windows they add up
        assert low <= found.item() <= max(high, *values) + 2


def test_noisy_or_is_steady_where_its_formula_changes() -> None:
    around = torch.linspace(-16, -14, 401, dtype=torch.float64)
    found = torch.stack([pooled_log_odds(torch.stack([z, z - 1, z - 2]), "noisy-or") for z in around])
    expected = around + np.log1p(np.exp(-1) + np.exp(-2))
    assert (found - expected).abs().max() < 1e-5
    assert (found.diff() > 0).all()


@pytest.mark.parametrize("how", POOLINGS)
def test_gradients_are_those_of_finite_differences(how: Pooling) -> None:
    logits = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)
    starts = np.array([0, 1, 4, 8])
    assert torch.autograd.gradcheck(lambda z: pooled_logits(z, starts, how), (logits,))


def test_the_strongest_window_is_the_first_of_equals() -> None:
    scores = WindowScores(np.array([0.9, 0.1, 0.7, 0.7, 0.2, 0.3]), np.array([0, 1, 4, 6]))
    assert scores.strongest().tolist() == [-1, 1, 1]


def test_a_window_that_is_sure_makes_the_post_sure() -> None:
    with np.errstate(all="raise"):
        assert WindowScores(np.array([1.0, 0.2]), np.array([0, 2])).pooled("noisy-or").tolist() == [1.0]
