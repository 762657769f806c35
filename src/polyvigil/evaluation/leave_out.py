"""Each labelled language played as one without labels: what each rule for such languages would have cost here.

The members know the language, only the threshold does not: where no member was trained on a language, more is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.policy import flagged
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import argmax
from polyvigil.decide.tune import tune
from polyvigil.decide.unlabelled import by_prior, references, similar_threshold
from polyvigil.errors import DataError
from polyvigil.metrics import count
from polyvigil.text.language import is_cadec
from polyvigil.types import Frozen

FIXED, MEAN, OVERLAP, SHARE, PRIOR = "fixed 0.5", "mean", "overlap", "share", "prior (true)"


class Guess(Frozen):
    """What one rule does in one language. ``regret``: F1 lost to the best threshold of the same posts, in [0, 1]."""

    threshold: float
    share: float
    """Of its posts, flagged."""
    f1: float
    regret: float


class LeftOut(Frozen):
    """One language whose labels were not used for its threshold."""

    language: str
    posts: int
    positives: int
    best_f1: float
    """At the best threshold of these very posts: an optimistic metric, so regrets are on the safe side."""
    like: str
    """The labelled language with the most similar scores."""
    guesses: Mapping[str, Guess]
    warnings: tuple[str, ...]


def leave_one_language_out(posts: DevScores, *, spec: DecideSpec) -> tuple[LeftOut, ...]:
    """Every language with both classes in turn; the others' thresholds are tuned on ``posts`` by ``spec``.

    Raises DataError with fewer than two such languages, CADEC groups not counted.
    """
    names = [name for name in sorted(set(posts.languages.tolist())) if posts.of(name).usable and not is_cadec(name)]
    if len(names) < 2:
        raise DataError(
            f"{len(names)} language with labelled posts of both classes; to leave one out takes two",
            hint="give a file with more languages",
        )
    return tuple(_left_out(posts.where(np.isin(posts.languages, names)), name, spec=spec) for name in names)


def _left_out(posts: DevScores, name: str, *, spec: DecideSpec) -> LeftOut:
    held_out, rest = posts.of(name), posts.where(posts.languages != name)
    policy = tune(rest.probabilities, rest.labels, rest.languages.tolist(), spec=spec, dev_fingerprint="")
    known = references(rest, policy)
    similar = similar_threshold(held_out.probabilities, known)
    thresholds = {
        FIXED: 0.5,
        MEAN: similar_threshold(held_out.probabilities, known, rule="mean").value,
        OVERLAP: similar.value,
        SHARE: similar_threshold(held_out.probabilities, known, rule="share").value,
        PRIOR: by_prior(held_out.probabilities, float(held_out.labels.mean())).value,
    }
    best = argmax(held_out.probabilities, held_out.labels).value
    guesses = {}
    for rule, threshold in thresholds.items():
        flags = flagged(held_out.probabilities, threshold)
        f1 = count(held_out.labels, flags).f1
        guesses[rule] = Guess(threshold=threshold, share=float(flags.mean()), f1=f1, regret=max(0.0, best - f1))
    return LeftOut(
        language=name,
        posts=len(held_out.labels),
        positives=int(held_out.labels.sum()),
        best_f1=best,
        like=similar.like,
        guesses=guesses,
        warnings=similar.warnings,
    )
