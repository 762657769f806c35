"""Which posts each step sees: a function of the seed and the epoch alone, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.training import TrainingSpec

_ORDER, _STEP = 0, 1  # what a seed is derived for


def epoch_order(
    pool: NDArray[np.int64], languages: Sequence[str], *, spec: TrainingSpec, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Indices of the training posts in the order of one epoch (from 0): shape (len(pool),), no global generator.

    ``pool`` holds the indices to draw from (balance.training_indices: all posts, and the copies of positives);
    ``languages`` (n_posts,) is the language group of each post. ``shuffle``: a permutation of the pool. ``language``:
    each place gets a language with probability proportional to its share of the pool ** temperature (Conneau et al.
    2020, section 3.1, alpha), and that language's posts come in random order, all of them before any comes again.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch, _ORDER]))
    if spec.sampling == "shuffle":
        return rng.permutation(pool)
    names, group = np.unique(np.asarray(languages)[pool], return_inverse=True)
    chances = (np.bincount(group) / len(pool)) ** spec.temperature
    sampled = rng.choice(len(names), size=len(pool), p=chances / chances.sum())
    order = np.empty_like(pool)
    for index in range(len(names)):
        slots = np.flatnonzero(sampled == index)
        members = pool[group == index]
        rounds = -(-len(slots) // len(members))
        again = [rng.permutation(members) for _ in range(rounds)]
        order[slots] = np.concatenate([*again, members[:0]])[: len(slots)]  # members[:0]: where it got no slot
    return order


def step_seed(seed: int, step: int, *, rank: int = 0) -> int:
    """Seed of the dropout masks of one step, in [0, 2**63): so no state of a generator is ever stored."""
    state = np.random.SeedSequence([seed, step, rank, _STEP]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
