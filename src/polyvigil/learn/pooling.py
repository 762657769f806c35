"""Which pooling of windows a trained encoder ends with: the best of the three on the dev posts, cross-fitted.

One pass over the dev posts gives the P of every window; the rest is arithmetic on them. What was trained is left only
where another one is better on posts whose thresholds were tuned without them, and is so in nine resamples of ten: dev
posts may be shorter than those to come, and mean, for one, thins out evidence with the length of a post.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import Pooling
from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.objectives import value_of
from polyvigil.decide.rules import DevScores
from polyvigil.detect.base import PoolingChoice
from polyvigil.learn.dev import DevSet, counted, score
from polyvigil.learn.ranks import Ranks
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.pooling import POOLINGS
from polyvigil.types import Probabilities

LEAST = 20
"""Dev posts of several windows with an ADE, and as many without: with fewer, what was trained stays."""
SURE = 0.9
"""Share of the resamples of the dev posts in which another pooling must be better than what was trained."""
_RESAMPLES = 500


def choose(
    encoder: Encoder, dev: DevSet, ranks: Ranks, *, decide: DecideSpec, trained: Pooling, budget: int
) -> PoolingChoice:
    """Score the dev posts once and choose; the same in every process.

    Raises TrainingError as learn.dev.score does.
    """
    long = np.array([item.ndim == 2 for item in dev.tokens], dtype=bool) & dev.readable
    positives = int(dev.labels[long].sum())
    choice = PoolingChoice(trained=trained, chosen=trained, long_posts=int(long.sum()), long_positives=positives)
    if min(positives, choice.long_posts - positives) < LEAST:
        return choice
    scores = score(encoder, dev, ranks, budget=budget, where="choosing the pooling of windows")
    value = value_of(decide.objective)
    outcomes = {pooling: _outcomes(scores[pooling], dev, decide=decide) for pooling in POOLINGS}
    values = {pooling: float(value(*counts.sum(axis=1, keepdims=True))[0]) for pooling, counts in outcomes.items()}
    best = max(POOLINGS, key=lambda pooling: values[pooling])
    size = outcomes[trained].shape[1]
    # a fixed seed: every process must choose the same; and both poolings are compared on the same resamples
    resamples = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), size=_RESAMPLES)
    better = value(*(outcomes[best] @ resamples.T)) > value(*(outcomes[trained] @ resamples.T))
    return choice.model_copy(update={"chosen": best if better.mean() >= SURE else trained, "figures": values})


def _outcomes(scores: Probabilities, dev: DevSet, *, decide: DecideSpec) -> NDArray[np.float64]:
    """True and false positives and false negatives of each counted post, (3, n_posts), by thresholds tuned without it:
    shares of the deals."""
    posts = DevScores(scores, dev.labels, np.asarray(dev.languages))
    flagged = cross_fitted_flags(posts, spec=decide, groups=dev.groups).mean(axis=0)
    positive = dev.labels == 1
    counts = np.stack([flagged * positive, flagged * ~positive, (1 - flagged) * positive])
    return np.asarray(counts[:, counted(dev)], dtype=np.float64)
