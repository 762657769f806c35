"""From the members' probabilities to the one that is decided on: a weighted mean over the members that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from polyvigil.decide.cascade import Cascade
from polyvigil.decide.coverage import MemberCoverage
from polyvigil.types import Frozen, Probabilities


class Combination(Frozen):
    """How the members of one stage become one probability."""

    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """One for each member, in their order; only their ratios matter. Empty: all the same."""
    cascade: Cascade | None = None
    """Where set, one member scores every post and the others only those near the threshold; thresholds are tuned on
    the mean of all members."""
    coverage: MemberCoverage | None = None
    """Which members count in which language; None: all in all. One that does not count scores no post there."""

    @property
    def of_all(self) -> Combination:
        """The same without the cascade: every member that counts scores every post."""
        return Combination(weights=self.weights, coverage=self.coverage)

    def of(self, indices: Sequence[int]) -> Combination:
        """The mean of the members at these indices alone, every one that counts scoring every post."""
        return Combination(
            weights=tuple(self.weights[index] for index in indices) if self.weights else (),
            coverage=self.coverage.of(indices) if self.coverage else None,
        )

    def first_members(self, members: int) -> list[int]:
        """The indices of those of so many members that score every post."""
        return [self.cascade.first] if self.cascade else list(range(members))

    def mask(self, languages: Sequence[str], *, members: int) -> NDArray[np.bool_]:
        """Whether each of so many members counts for each post, (members, n_posts), by the posts' language groups."""
        if self.coverage is None:
            return np.ones((members, len(languages)), dtype=np.bool_)
        return self.coverage.mask(languages, members=members)

    @property
    def counting(self) -> frozenset[int]:
        """The indices of the members that the coverage names; none without one."""
        if self.coverage is None:
            return frozenset()
        return frozenset(self.coverage.elsewhere).union(*self.coverage.languages.values())

    def remaining_mask(self, first: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which posts the remaining members score too, (n_posts,), by the scores of the first ones (n_first, n_posts).

        None without a cascade: no member remains.
        """
        if self.cascade:
            return self.cascade.second_stage_mask(first[0], thresholds)
        return np.zeros(first.shape[1], dtype=bool)

    def counted(self, by_member: NDArray[np.float64], languages: Sequence[str]) -> NDArray[np.float64]:
        """Scores (n_members, n_posts) with NaN where a member does not count, by the posts' language groups."""
        if self.coverage is None:
            return by_member
        return np.where(self.mask(languages, members=len(by_member)), by_member, np.nan)

    def mean(self, by_member: NDArray[np.float64]) -> Probabilities:
        """(n_members, n_posts) -> (n_posts,), in [0, 1]; NaN stands for a member that did not score a post.

        NaN where none did. Scores of posts that all members scored go through ``counted`` first. Raises ValueError
        when the weights are not one for each member.
        """
        weights = np.array(self.weights or np.ones(len(by_member)))
        if len(weights) != len(by_member):
            raise ValueError(f"{len(weights)} weights for {len(by_member)} members")
        return np.clip(weighted_mean(by_member, weights), 0.0, 1.0)

    def mean_of(self, chosen: Sequence[int], by_member: NDArray[np.float64], languages: Sequence[str]) -> Probabilities:
        """The mean of the members at these indices alone, (n_posts,), of scores that all members gave."""
        subset = self.of(chosen)
        return subset.mean(subset.counted(by_member[list(chosen)], languages))

    def plain_mean(self, by_member: NDArray[np.float64]) -> Probabilities:
        """``mean`` of all members; one member alone keeps its probabilities to the last bit, whatever its weight."""
        return by_member[0] if len(by_member) == 1 else self.of_all.mean(by_member)


def weighted_mean(by_member: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the scores that are there, (n_members, n_posts) -> (n_posts,); NaN where none is that weighs."""
    has_score = ~np.isnan(by_member)
    total = (weights[:, None] * has_score).sum(axis=0)
    sums = np.where(has_score, weights[:, None] * by_member, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)
    return mean
