"""The order of posts: deterministic, complete, and of the frequencies asked for. Needs no torch."""

from __future__ import annotations

import numpy as np
import pytest

from polyvigil.config.training import TrainingSpec
from polyvigil.learn.balance import training_indices
from polyvigil.learn.sampling import epoch_order, step_seed

LANGUAGES = ["en"] * 700 + ["de"] * 200 + ["fr"] * 100
LABELS = (np.arange(1000) % 10 == 0).astype(np.int8)
POOL = training_indices(LABELS, times=3)


def _order(epoch: int = 0, *, seed: int = 5, **settings: object) -> np.ndarray:
    return epoch_order(POOL, LANGUAGES, spec=TrainingSpec(**settings), seed=seed, epoch=epoch)


def test_shuffle_is_a_permutation_of_the_pool_copies_included() -> None:
    order = _order()
    assert len(order) == 1000 + 2 * 100
    assert np.array_equal(np.bincount(order), np.where(LABELS == 1, 3, 1))


@pytest.mark.parametrize("sampling", ["shuffle", "language"])
def test_the_order_follows_from_seed_and_epoch_alone(sampling: str) -> None:
    first = _order(sampling=sampling)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    assert np.array_equal(first, _order(sampling=sampling))
    assert np.array_equal(np.random.get_state()[1], state)  # the global generator is neither used nor moved
    others = [_order(1, sampling=sampling), _order(seed=6, sampling=sampling)]
    assert not any(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_language_frequencies_follow_the_temperature(temperature: float) -> None:
    drawn = np.concatenate([_order(e, sampling="language", temperature=temperature) for e in range(40)])
    shares = np.array([np.mean(np.asarray(LANGUAGES)[drawn] == name) for name in ("en", "de", "fr")])
    expected = np.array([0.7, 0.2, 0.1]) ** temperature
    assert shares == pytest.approx(expected / expected.sum(), abs=0.01)  # 48,000 draws: 4 standard deviations


def test_language_sampling_is_without_replacement() -> None:
    counts = np.bincount(_order(sampling="language", temperature=0.0), minlength=1000) / np.where(LABELS == 1, 3, 1)
    for low, high in ((700, 900), (900, 1000)):
        whole = counts[low:high]
        assert whole.max() - whole.min() <= 1
    assert counts[900:].min() >= 3  # 400 draws of the 120 French places
    assert len(_order(sampling="language")) == len(POOL)


def test_posts_of_a_step_do_not_depend_on_micro_batches() -> None:
    assert np.array_equal(_order(micro_tokens=64), _order(micro_tokens=8192))


def test_step_seeds_differ_by_seed_step_and_rank() -> None:
    seeds = {step_seed(seed, step, rank=rank) for seed in range(5) for step in range(200) for rank in range(3)}
    assert len(seeds) == 5 * 200 * 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert step_seed(42, 0) == step_seed(42, 0, rank=0)
