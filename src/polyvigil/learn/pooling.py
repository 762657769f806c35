"""Which pooling of windows a trained encoder ends with: the best of the three on the dev posts, cross-fitted.

One pass over the dev posts gives the P of every window; the rest is arithmetic on them. What was trained is one of the
three, so the choice can only leave it where another one does better on posts whose thresholds were tuned without them.
"""

from __future__ import annotations

import numpy as np

from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.objectives import value_of
from polyvigil.decide.rules import DevScores
from polyvigil.detect.base import PoolingChoice
from polyvigil.learn.dev import DevSet, counted, score
from polyvigil.learn.ranks import Ranks
from polyvigil.metrics import count
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.pooling import POOLINGS
from polyvigil.records import Labels, Probabilities
from polyvigil.specs import DecideSpec, Pooling

LEAST = 20
"""Dev posts of several windows with an ADE, and as many without: with fewer, what was trained stays."""


def choose(
    encoder: Encoder, dev: DevSet, ranks: Ranks, *, decide: DecideSpec, trained: Pooling, budget: int
) -> PoolingChoice:
    """Score the dev posts once and choose; the same in every process. ``trained`` wins ties.

    Raises TrainingError as learn.dev.score does.
    """
    long = np.array([item.ndim == 2 for item in dev.tokens], dtype=bool) & dev.readable
    positives = int(dev.labels[long].sum())
    told = PoolingChoice(trained=trained, chosen=trained, long_posts=int(long.sum()), long_positives=positives)
    if min(positives, told.long_posts - positives) < LEAST:
        return told
    scores = score(encoder, dev, ranks, budget=budget, where="choosing the pooling of windows")
    figures = {pooling: _figure(scores[pooling], dev, decide=decide) for pooling in POOLINGS}
    best = max(POOLINGS, key=lambda pooling: (figures[pooling], pooling == trained))
    return told.model_copy(update={"chosen": best, "figures": figures})


def _figure(scores: Probabilities, dev: DevSet, *, decide: DecideSpec) -> float:
    """The objective of ``decide`` (F1 by default), flags by thresholds tuned without the post; mean over the deals."""
    posts = DevScores(scores, dev.labels, np.asarray(dev.languages))
    chosen = counted(dev)
    flags = cross_fitted_flags(posts, spec=decide, groups=dev.groups)
    return float(np.mean([_value(dev.labels[chosen], row[chosen], decide) for row in flags]))


def _value(labels: Labels, flags: np.ndarray[tuple[int], np.dtype[np.bool_]], decide: DecideSpec) -> float:
    counts = count(labels, flags)
    figures = (np.array([float(number)]) for number in (counts.tp, counts.fp, counts.fn))
    return float(value_of(decide.objective)(*figures)[0])
