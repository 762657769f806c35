"""What each member of an ensemble adds: every subset, the ensemble without each member, fitted against equal weights.

In: stored dev probabilities of all members, shape (n_members, n_posts), labels, groups. Out: `MemberSubset`,
`MemberAblation`, `WeightGain`, JSON-ready. All is arithmetic on stored scores: no model runs. Gains of fitted weights
are measured on folds that the weights were not fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.combine import Combination, weighted_mean
from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import tune
from polyvigil.decide.weights import cross_fitted_weights
from polyvigil.evaluation.groups import groups_of
from polyvigil.evaluation.intervals import LEVEL
from polyvigil.evaluation.intervals import ROUNDS as RANKING_ROUNDS
from polyvigil.evaluation.paired import ROUNDS, Difference, f1_difference, ranking_difference
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
            mean = together.mean_of(chosen, by_member, languages)
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


_SIGMAS = float(ndtri((1 + LEVEL) / 2))


class WeightGain(Frozen):
    """Pooled average precision, the mean over folds; each fold's posts are ranked by weights fitted on the others.

    Not that of all posts in one ranking: the means of two sets of weights need not be on one scale.
    """

    fitted: float
    equal: float
    gain: float
    """``fitted`` less ``equal``, in [-1, 1], with its 95% interval."""
    low: float
    high: float
    folds: int
    """Those with positives. With none all values are 0, the interval [-1, 1]."""


def weight_gain(
    by_member: NDArray[np.float64], posts: DevScores, *, groups: Sequence[str] = (), rounds: int = RANKING_ROUNDS
) -> WeightGain:
    """Of fitting weights for ``by_member`` (n_members, n_posts), NaN where a member does not count, on ``posts``, which
    give labels and languages.

    The folds hold different posts, so their errors add up as those of independent metrics. Deterministic.
    """
    masks = groups_of(posts.languages.tolist())
    equal = weighted_mean(by_member, np.ones(len(by_member)))
    fold_results = []
    for held_out, weights in cross_fitted_weights(by_member, posts, groups=groups):
        mask = held_out & masks.pooled
        if not (posts.labels[mask] == 1).any():
            continue
        fold_results.append(
            ranking_difference(
                posts.labels[mask],
                _mean_or_zero(by_member[:, mask], weights),
                equal[mask],
                masks.names[mask],
                rounds=rounds,
            )
        )
    if not fold_results:
        return WeightGain(fitted=0.0, equal=0.0, gain=0.0, low=-1.0, high=1.0, folds=0)
    difference = float(np.mean([fold.difference for fold in fold_results]))
    half = _SIGMAS * float(np.sqrt(sum((fold.standard_error or 0.0) ** 2 for fold in fold_results))) / len(fold_results)
    return WeightGain(
        fitted=float(np.mean([fold.first for fold in fold_results])),
        equal=float(np.mean([fold.second for fold in fold_results])),
        gain=difference,
        low=max(difference - half, -1.0),
        high=min(difference + half, 1.0),
        folds=len(fold_results),
    )


def _mean_or_zero(by_member: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Their weighted mean, 0 of a post that only members of weight 0 scored."""
    mean = weighted_mean(by_member, weights)
    return np.where(np.isnan(mean), 0.0, mean)


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
    """The metrics that are better without it beyond their interval."""


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
        mean = combination.mean_of(chosen, by_member, posts.languages.tolist())
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
