"""From the members' probabilities to the one that is decided on: a weighted mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from polyvigil.decide.cascade import Cascade
from polyvigil.types import Frozen, Probabilities


class Combination(Frozen):
    """How the members of one stage become one probability."""

    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """One for each member, in their order; only their ratios matter. Empty: all the same."""
    cascade: Cascade | None = None
    """Where set, one member scores every post and the others only those near the threshold; thresholds are tuned on
    the mean of all members."""

    @property
    def of_all(self) -> Combination:
        """The same without the cascade: every member scores every post."""
        return Combination(weights=self.weights)

    def of(self, indices: Sequence[int]) -> Combination:
        """The mean of the members at these indices alone, every one scoring every post."""
        return Combination(weights=tuple(self.weights[index] for index in indices) if self.weights else ())

    def first_members(self, members: int) -> list[int]:
        """The indices of those of so many members that score every post."""
        return [self.cascade.first] if self.cascade else list(range(members))

    def remaining_mask(self, first: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which posts the remaining members score too, (n_posts,), by the scores of the first ones (n_first, n_posts).

        None without a cascade: no member remains.
        """
        if self.cascade:
            return self.cascade.second_stage_mask(first[0], thresholds)
        return np.zeros(first.shape[1], dtype=bool)

    def mean(self, by_member: NDArray[np.float64]) -> Probabilities:
        """(n_members, n_posts) -> (n_posts,), in [0, 1]; NaN stands for a member that did not score a post.

        NaN where none did. Raises ValueError when the weights are not one for each member.
        """
        weights = np.array(self.weights or np.ones(len(by_member)))
        if len(weights) != len(by_member):
            raise ValueError(f"{len(weights)} weights for {len(by_member)} members")
        has_score = ~np.isnan(by_member)
        total = (weights[:, None] * has_score).sum(axis=0)
        sums = np.where(has_score, weights[:, None] * by_member, 0.0).sum(axis=0)
        mean: Probabilities = np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)
        return np.clip(mean, 0.0, 1.0)

    def plain_mean(self, by_member: NDArray[np.float64]) -> Probabilities:
        """``mean`` of all members; one member alone keeps its probabilities to the last bit, whatever its weight."""
        return by_member[0] if len(by_member) == 1 else self.of_all.mean(by_member)
