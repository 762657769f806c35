"""A cascade: one member scores every post, and the others only the posts whose decision they can change.

In: scores of all members. Out: `Cascade`: the first member and the half-width of the band around each threshold, in
logits. The band is learned on one half of the dev posts and verified on the other; `CascadeCounts` says what it costs
and how many decisions differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from polyvigil.decide.crossfit import assign_folds
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import logit
from polyvigil.types import Frozen, Probabilities


class CascadeCounts(Frozen):
    """What a cascade does on some posts."""

    model_config = ConfigDict(allow_inf_nan=False)

    posts: int = Field(ge=0)
    called: int = Field(ge=0)
    """Posts of which all members are scored."""
    disagreeing: int = Field(ge=0)
    """Posts that all members together would have decided otherwise."""
    cost: float = Field(ge=0)
    """Cost as a share of that of asking all members of every post."""

    @property
    def disagreement(self) -> float:
        """Share of posts decided otherwise, in [0, 1]; 0 of none."""
        return self.disagreeing / self.posts if self.posts else 0.0


class Cascade(Frozen):
    """Which member scores first, and how near to the threshold all are scored. Part of ``combination.json``.

    The first member alone decides a post of its probability p and its language's threshold t, unless
    |logit p - logit t| <= band; then all are scored, and their combination decides by the same threshold.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    first: int = Field(ge=0)
    """The index of the member that scores every post."""
    band: float = Field(ge=0)
    """Half-width in logits."""
    stated: float = Field(ge=0, lt=1)
    """The share of posts on which it may disagree with all members together."""
    costs: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Of asking each member, in any unit. Empty: all the same."""
    learned: CascadeCounts
    """On the half of the dev posts that the band was found on."""
    verified: CascadeCounts
    """On the other half."""

    def second_stage_mask(self, first: Probabilities, thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the others are scored too: (n_posts,), of the first member's P and each post's threshold.

        A P of exactly 0 means "nothing to read": no other member is scored. NaN means that the first member does not
        count in the post's language: those that do are scored.
        """
        return np.isnan(first) | ((first > 0) & (distance(first, thresholds) <= self.band))


def distance(probabilities: Probabilities, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """|logit p - logit t|, (n_posts,), in [0, 28]: logits are held inside those of 1e-6 and 1 - 1e-6."""
    apart: NDArray[np.float64] = np.abs(logit(probabilities) - logit(thresholds))
    return apart


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

    ``by_member`` (n_members, n_posts) are the members' P of ``posts``, NaN where a member does not count; those of
    ``posts`` are the combined ones; ``policy`` decides both. ``costs`` (n_members,) of asking each. Without ``first``
    the member is taken that makes the cascade cheapest, which with equal costs means fewest calls. Raises ValueError
    for one member or unlike lengths.
    """
    members = len(by_member)
    if members < 2 or len(costs or by_member) != members or by_member.shape[1] != len(posts.labels):
        raise ValueError(f"{by_member.shape} scores of {len(posts.labels)} posts, {len(costs)} costs")
    fit_half = assign_folds(posts, groups=groups, folds=2, random=np.random.default_rng(0)) == 0
    languages = posts.languages.tolist()
    known, price = ~np.isnan(by_member), np.array(costs or np.ones(members))
    thresholds = policy.post_thresholds(languages)
    together = policy.flags(posts.probabilities, languages)

    def with_first(member: int) -> Cascade:
        counts = known[member]
        apart = distance(by_member[member], thresholds)
        other = counts & (policy.flags(by_member[member], languages) != together)
        band = smallest_band(apart[fit_half & counts], other[fit_half & counts], stated=stated)
        second_stage = ~counts | ((by_member[member] > 0) & (apart <= band))

        def counts_of(half: NDArray[np.bool_]) -> CascadeCounts:
            size, n_second_stage = int(half.sum()), int(second_stage[half].sum())
            scored = known & second_stage
            scored[member] = counts
            return CascadeCounts(
                posts=size,
                called=n_second_stage,
                disagreeing=int((other & ~second_stage)[half].sum()),
                cost=float(price @ scored[:, half].sum(axis=1) / (price @ known[:, half].sum(axis=1))) if size else 0.0,
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
    return float(furthest[allowed]) if allowed < len(furthest) else 0.0  # the edge itself lies in the band
