"""What each further member buys: dev F1 of every set of members (the paper's appendix B, Table 5)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.combine import Combination
from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import tune
from polyvigil.metrics import count
from polyvigil.text.language import counted_when_pooled
from polyvigil.types import Frozen, Labels

_MOST_MEMBERS = 6  # 63 sets
_MOST_CROSSED = 4  # 15 sets


class MemberSubset(Frozen):
    """A set of members and the pooled dev F1 of its mean at its own tuned thresholds, CADEC groups left out."""

    members: tuple[str, ...]
    """What each is called: its seed, or its kind, seed and the bundle it comes from."""
    same_set_f1: float
    """Optimistic: the thresholds were tuned on the same posts."""
    cross_fitted_f1: float | None
    """Each post decided by thresholds tuned on others, one deal of folds; None where the sets are too many."""
    seconds: float
    """Spent on training these members."""


def member_subsets(
    by_member: NDArray[np.float64],
    labels: Labels,
    languages: Sequence[str],
    *,
    names: Sequence[str],
    seconds: Sequence[float],
    spec: DecideSpec,
    combination: Combination | None = None,
    groups: Sequence[str] = (),
) -> tuple[MemberSubset, ...]:
    """Every set of 1, 2, ... members of stored ``by_member`` (n_members, n_posts), smaller sets first.

    ``names`` and ``seconds`` (n_members,): what each is called, and what its training took. ``groups`` (n_posts,) as
    cross-fitting takes them. Empty for one member, and for more than 6; cross-fitted for 4 at most.
    """
    if not 1 < len(names) <= _MOST_MEMBERS:
        return ()
    together = combination or Combination()
    official = counted_when_pooled(languages)
    rows = []
    for size in range(1, len(names) + 1):
        for chosen in combinations(range(len(names)), size):
            mean = together.of(chosen).mean(by_member[list(chosen)])
            flags = tune(mean, labels, languages, spec=spec, dev_fingerprint="").flags(mean, languages)
            crossed = None
            if len(names) <= _MOST_CROSSED:
                posts = DevScores(mean, labels, np.asarray(languages))
                held_out = cross_fitted_flags(posts, spec=spec, groups=groups, repeats=1)[0]
                crossed = count(labels[official], held_out[official]).f1
            rows.append(
                MemberSubset(
                    members=tuple(names[index] for index in chosen),
                    same_set_f1=count(labels[official], flags[official]).f1,
                    cross_fitted_f1=crossed,
                    seconds=sum(seconds[index] for index in chosen),
                )
            )
    return tuple(rows)
