"""Learning a cascade's band on one half of the dev posts, and seeing on the other half whether it keeps its word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.cascade import Cascade, CascadeCounts, distance
from polyvigil.decide.crossfit import assign_folds
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores

_ROUNDING = 1e-9  # 0.005 of 1,000 posts is 5, whatever floats say


def fit_cascade(
    by_member: NDArray[np.float64],
    posts: DevScores,
    policy: DecisionPolicy,
    *,
    stated: float,
    groups: Sequence[str] = (),
    first: int | None = None,
    costs: Sequence[float] = (),
) -> Cascade:
    """The cascade with the smallest band whose disagreement is at most ``stated``, in [0, 1), on half of the posts.

    ``by_member`` (n_members, n_posts) are the members' P of ``posts``, whose own are the combined ones; ``policy``
    decides both. ``costs`` (n_members,) of asking each. Without ``first`` the member is taken that makes the cascade
    cheapest, which with equal costs means fewest calls. Raises ValueError for one member or unlike lengths.
    """
    members = len(by_member)
    if members < 2 or len(costs or by_member) != members or by_member.shape[1] != len(posts.labels):
        raise ValueError(f"{by_member.shape} scores of {len(posts.labels)} posts, {len(costs)} costs")
    fit_half = assign_folds(posts, groups=groups, folds=2, random=np.random.default_rng(0)) == 0
    languages = posts.languages.tolist()
    thresholds = policy.post_thresholds(languages)
    together = policy.flags(posts.probabilities, languages)

    def with_first(member: int) -> Cascade:
        apart = distance(by_member[member], thresholds)
        other = policy.flags(by_member[member], languages) != together
        band = smallest_band(apart[fit_half], other[fit_half], stated=stated)
        second_stage = (by_member[member] > 0) & (apart <= band)
        price = np.array(costs or np.ones(members))

        def counts_of(half: NDArray[np.bool_]) -> CascadeCounts:
            size, n_second_stage = int(half.sum()), int(second_stage[half].sum())
            rest = (price.sum() - price[member]) * n_second_stage
            return CascadeCounts(
                posts=size,
                called=n_second_stage,
                disagreeing=int((other & ~second_stage)[half].sum()),
                cost=float((price[member] * size + rest) / (price.sum() * size)) if size else 0.0,
            )

        return Cascade(
            first=member,
            band=band,
            stated=stated,
            costs=tuple(costs),
            learned=counts_of(fit_half),
            verified=counts_of(~fit_half),
        )

    return min(map(with_first, range(members) if first is None else [first]), key=lambda cascade: cascade.learned.cost)


def smallest_band(apart: NDArray[np.float64], other: NDArray[np.bool_], *, stated: float) -> float:
    """The smallest band, at least 0, outside of which at most ``stated`` of the posts are decided otherwise.

    ``apart`` (n_posts,) are the first member's distances from the threshold, ``other`` where it decides otherwise.
    """
    allowed = int(stated * len(apart) + _ROUNDING)
    furthest = -np.sort(-apart[other])
    return float(furthest[allowed]) if allowed < len(furthest) else 0.0
