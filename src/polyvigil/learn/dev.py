"""The dev posts after an epoch: one pass of the model, tuned thresholds, pooled F1, collapsed languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.decide.tune import tune
from polyvigil.errors import BundleError, TrainingError
from polyvigil.learn.memory import is_out_of_memory
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.step import NO_MEMORY, OVERFLOW
from polyvigil.metrics import count
from polyvigil.nn.encoder import Encoder, TokenIds
from polyvigil.nn.predict import probabilities
from polyvigil.records import Labels, Probabilities
from polyvigil.specs import DecideSpec
from polyvigil.text.language import is_cadec

_TOO_MANY = 0.95


@dataclass(frozen=True, slots=True)
class DevSet:
    """Dev posts, each field (n_posts,); one that is not ``readable`` scores 0, as in a bundle."""

    tokens: Sequence[TokenIds]
    labels: Labels
    languages: Sequence[str]
    readable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``f1``: pooled, at tuned thresholds, CADEC groups left out, in [0, 1]. ``warnings``: languages that collapsed."""

    f1: float
    warnings: tuple[str, ...]


def judge(encoder: Encoder, dev: DevSet, ranks: Ranks, *, decide: DecideSpec, budget: int, where: str) -> Verdict:
    """Score the dev posts and judge the scores. Raises TrainingError when the encoder gives no numbers."""
    return verdict(_score(encoder, dev, ranks, budget=budget, where=where), dev, decide=decide)


def verdict(scores: Probabilities, dev: DevSet, *, decide: DecideSpec) -> Verdict:
    """Tune one threshold for each language on (n_posts,) scores and say what follows from them."""
    policy = tune(scores, dev.labels, dev.languages, spec=decide, dev_fingerprint="")
    flags = policy.flags(scores, dev.languages)
    names = np.asarray(dev.languages)
    counted = np.array([not is_cadec(language) for language in dev.languages])
    if not dev.labels[counted].any():
        counted[:] = True  # only CADEC posts have positives: better their F1 than none
    warnings = []
    for language in sorted(set(dev.languages)):
        mine = names == language
        gold, flagged = float(np.mean(dev.labels[mine])), float(np.mean(flags[mine]))
        if gold > 0 and flagged == 0:
            warnings.append(
                f"{language}: all {mine.sum():,} dev posts predicted negative; the model has collapsed there"
            )
        elif flagged > _TOO_MANY >= gold:
            warnings.append(
                f"{language}: {flagged:.0%} of {mine.sum():,} dev posts predicted positive ({gold:.0%} are); the model "
                "has collapsed there"
            )
    return Verdict(count(dev.labels[counted], flags[counted]).f1, tuple(warnings))


def _score(encoder: Encoder, dev: DevSet, ranks: Ranks, *, budget: int, where: str) -> Probabilities:
    """P(ADE) of each dev post, (n_posts,); each process scores its share."""
    mine = ranks.share(np.flatnonzero(dev.readable))
    scores = np.zeros(len(dev.labels))
    try:
        own = probabilities(encoder, [dev.tokens[place] for place in mine], budget=budget)
    except BundleError as error:
        raise TrainingError("the encoder gives no number for some dev posts", where=where, hint=OVERFLOW) from error
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError("no memory to score the dev posts", where=where, hint=NO_MEMORY) from error
    scores[mine] = np.maximum(own, 1e-300)  # exactly 0 is kept for what cannot be read
    return ranks.total(torch.from_numpy(scores).to(encoder.device)).cpu().numpy() if ranks.size > 1 else scores
