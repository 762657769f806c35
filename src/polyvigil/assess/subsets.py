"""What each further seed buys: dev F1 of every set of members (the paper's appendix B, Table 5)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from polyvigil.decide.policy import tune
from polyvigil.metrics import count
from polyvigil.records import Labels
from polyvigil.specs import DecideSpec
from polyvigil.text.language import is_cadec

_MOST_MEMBERS = 6  # 63 sets


class SeedSubset(BaseModel):
    """A set of seeds and the pooled dev F1 of its mean at its own tuned thresholds, CADEC groups left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...]
    same_set_f1: float
    """Optimistic: the thresholds were tuned on the same posts."""
    seconds: float
    """Spent on training these members."""


def seed_subsets(
    probabilities: NDArray[np.float64],
    labels: Labels,
    languages: Sequence[str],
    *,
    seeds: Sequence[int],
    seconds: Sequence[float],
    spec: DecideSpec,
) -> tuple[SeedSubset, ...]:
    """Every set of 1, 2, ... members of stored ``probabilities`` (n_members, n_posts), smaller sets first.

    ``seconds`` (n_members,): spent on training each.
    Empty for one member, and for more than 6.
    """
    if not 1 < len(seeds) <= _MOST_MEMBERS:
        return ()
    official = np.array([not is_cadec(language) for language in languages])
    rows = []
    for size in range(1, len(seeds) + 1):
        for chosen in combinations(range(len(seeds)), size):
            mean = probabilities[list(chosen)].mean(axis=0)
            flags = tune(mean, labels, languages, spec=spec, dev_fingerprint="").flags(mean, languages)
            figure = count(labels[official], flags[official]).f1
            rows.append(
                SeedSubset(
                    seeds=tuple(seeds[place] for place in chosen),
                    same_set_f1=figure,
                    seconds=sum(seconds[place] for place in chosen),
                )
            )
    return tuple(rows)
