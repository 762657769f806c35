"""Does every member earn its place? The ensemble with and without each, on the same dev posts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.combine import Combination
from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.rules import DevScores
from polyvigil.evaluation.bootstrap import ROUNDS as RANKING_ROUNDS
from polyvigil.evaluation.groups import groups_of
from polyvigil.evaluation.paired import ROUNDS
from polyvigil.evaluation.paired_figures import f1_difference, ranking_difference
from polyvigil.evaluation.paired_result import Difference
from polyvigil.types import Frozen

MetricName = Literal["AP", "F1"]


class MemberAblation(Frozen):
    """One member. Each difference is the ensemble without it less the ensemble with it, so below 0 where it helps.

    Pooled over all languages but the CADEC groups; intervals are 95%.
    """

    member: str
    average_precision: Difference
    f1: Difference
    """Each post decided by thresholds tuned on others, the same deal of folds for both."""
    dilutes: tuple[MetricName, ...]
    """The figures that are better without it beyond their interval."""


def ablate_members(
    by_member: NDArray[np.float64],
    posts: DevScores,
    combination: Combination,
    *,
    names: Sequence[str],
    spec: DecideSpec,
    groups: Sequence[str] = (),
    rounds: int = ROUNDS,
    ranking_rounds: int = RANKING_ROUNDS,
) -> tuple[MemberAblation, ...]:
    """Every member of ``by_member`` (n_members, n_posts) in its order; empty for one member. Deterministic.

    ``posts`` give labels and languages; ``names`` (n_members,) what the members are called; ``groups`` (n_posts,) as
    cross-fitting takes them. The others keep the ratios of their weights.
    """
    members = range(len(by_member))
    if len(members) < 2:
        return ()
    masks = groups_of(posts.languages.tolist())
    labels, strata = posts.labels[masks.pooled], masks.names[masks.pooled]

    def of(chosen: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The mean of some members, and the cross-fitted decisions on it: pooled posts only."""
        mean = combination.of(chosen).mean(by_member[list(chosen)])
        scores = DevScores(mean, posts.labels, posts.languages)
        flags = cross_fitted_flags(scores, spec=spec, groups=groups, repeats=1)[0]
        return mean[masks.pooled], flags[masks.pooled]

    with_all, flags_of_all = of(members)
    results = []
    for member in members:
        without, flags = of([other for other in members if other != member])
        ranking = ranking_difference(labels, without, with_all, strata, rounds=ranking_rounds)
        decided = f1_difference(labels, flags, flags_of_all, strata, rounds=rounds)
        better: dict[MetricName, bool] = {"AP": ranking.low > 0, "F1": decided.low > 0}
        results.append(
            MemberAblation(
                member=names[member],
                average_precision=ranking,
                f1=decided,
                dilutes=tuple(metric for metric, beyond in better.items() if beyond),
            )
        )
    return tuple(results)
