"""The dev posts after an epoch: one pass of the model, tuned thresholds, pooled F1, collapsed languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import Pooling
from polyvigil.decide.tune import tune
from polyvigil.errors import BundleError, TrainingError
from polyvigil.learn.memory import is_out_of_memory
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.step import NO_MEMORY, OVERFLOW
from polyvigil.metrics import count
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.pooling import POOLINGS
from polyvigil.nn.predict import window_scores
from polyvigil.nn.windows import TokenIds
from polyvigil.text.language import is_cadec
from polyvigil.types import Labels, Probabilities

_TOO_MANY = 0.95


@dataclass(frozen=True, slots=True)
class DevSet:
    """Dev posts, each field (n_posts,); one that is not ``readable`` scores 0, as in a bundle."""

    tokens: Sequence[TokenIds]
    labels: Labels
    languages: Sequence[str]
    readable: NDArray[np.bool_]
    groups: Sequence[str] = ()
    """Posts of one group are never distinguished by cross-fitting; none: every post is a group."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``f1``: pooled, at tuned thresholds, CADEC groups left out, in [0, 1]. ``warnings``: languages that collapsed."""

    f1: float
    warnings: tuple[str, ...]


def judge(
    encoder: Encoder,
    dev: DevSet,
    ranks: Ranks,
    *,
    decide: DecideSpec,
    pooling: Pooling,
    budget: int,
    where: str,
    counted: Callable[[str, int, int], None] = lambda *_: None,
) -> Verdict:
    """Score the dev posts and judge the scores. Raises TrainingError when the encoder gives no numbers."""
    scores = score(encoder, dev, ranks, budget=budget, where=where, counted=counted)
    return verdict(scores[pooling], dev, decide=decide)


def verdict(scores: Probabilities, dev: DevSet, *, decide: DecideSpec) -> Verdict:
    """Tune one threshold for each language on (n_posts,) scores and say what follows from them."""
    policy = tune(scores, dev.labels, dev.languages, spec=decide, dev_fingerprint="")
    flags = policy.flags(scores, dev.languages)
    names = np.asarray(dev.languages)
    chosen = counted(dev)
    warnings = []
    for language in sorted(set(dev.languages)):
        mask = names == language
        gold, flagged = float(np.mean(dev.labels[mask])), float(np.mean(flags[mask]))
        if gold > 0 and flagged == 0:
            warnings.append(
                f"{language}: all {mask.sum():,} dev posts predicted negative; the model has collapsed there"
            )
        elif flagged > _TOO_MANY >= gold:
            warnings.append(
                f"{language}: {flagged:.0%} of {mask.sum():,} dev posts predicted positive ({gold:.0%} are); the model "
                "has collapsed there"
            )
    return Verdict(count(dev.labels[chosen], flags[chosen]).f1, tuple(warnings))


def counted(dev: DevSet) -> NDArray[np.bool_]:
    """Which posts metrics are of, (n_posts,): all but the CADEC groups, unless they alone hold positives."""
    chosen = np.array([not is_cadec(language) for language in dev.languages])
    return chosen if dev.labels[chosen].any() else np.ones_like(chosen)


def score(
    encoder: Encoder,
    dev: DevSet,
    ranks: Ranks,
    *,
    budget: int,
    where: str,
    counted: Callable[[str, int, int], None] = lambda *_: None,
) -> Mapping[Pooling, Probabilities]:
    """P(ADE) of each dev post by each pooling of its windows, (n_posts,), in one pass; each process scores its share.

    ``counted``: see loop.TrainingCallbacks; windows are counted. Raises TrainingError when there is no memory, or no
    number.
    """
    indices = ranks.share(np.flatnonzero(dev.readable))
    scores = np.zeros((len(POOLINGS), len(dev.labels)))
    try:
        windows = window_scores(
            encoder,
            [dev.tokens[index] for index in indices],
            budget=budget,
            counted=partial(counted, f"scoring dev posts, {where}"),
        )
    except BundleError as error:
        raise TrainingError("the encoder gives no number for some dev posts", where=where, hint=OVERFLOW) from error
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError("no memory to score the dev posts", where=where, hint=NO_MEMORY) from error
    for row, pooling in zip(scores, POOLINGS, strict=True):
        row[indices] = np.maximum(windows.pooled(pooling), 1e-300)  # exactly 0 is kept for what cannot be read
    if ranks.size > 1:
        scores = ranks.total(torch.from_numpy(scores).to(encoder.device)).cpu().numpy()
    return dict(zip(POOLINGS, scores, strict=True))
