"""From the members' probabilities to the one that is decided on: a weighted mean, or one for each stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from polyvigil.decide.cascade import Cascade
from polyvigil.decide.judge import Judge
from polyvigil.types import Frozen, Probabilities


class Combination(Frozen):
    """How the members of a bundle become one. ``combination.json``."""

    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """One for each member, in their order; only their ratios matter, with a judge inside each stage. Empty: all the
    same."""
    cascade: Cascade | None = None
    """Where set, posts are scored by it (bundle.store); thresholds are tuned on the mean of all members."""
    judge: Judge | None = None
    """Where set, the last members decide the posts near the threshold."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Combination:
        if self.cascade and self.judge:
            raise ValueError("a bundle has a cascade or a judge, not both")
        return self

    @property
    def of_all(self) -> Combination:
        """The same without the cascade: every member scores every post."""
        return Combination(weights=self.weights, judge=self.judge)

    def of(self, indices: Sequence[int]) -> Combination:
        """The mean of the members at these indices alone, every one scored."""
        return Combination(weights=tuple(self.weights[index] for index in indices) if self.weights else ())

    def first_stage_members(self, members: int) -> list[int]:
        """The indices of those of so many members who are asked of every post."""
        if self.cascade:
            return [self.cascade.first]
        return list(range(members - (self.judge.members if self.judge else 0)))

    def second_stage_mask(
        self, first: NDArray[np.float64], thresholds: NDArray[np.float64], languages: Sequence[str], *, members: int
    ) -> NDArray[np.bool_]:
        """Whether the other members are scored too, (n_posts,): of what the first members said, (n_first, n_posts)."""
        first_stage = self.first_stage_members(members)
        alone = first[0] if len(first_stage) == 1 else self.of(first_stage).mean(first)
        if self.cascade:
            return self.cascade.second_stage_mask(alone, thresholds)
        if self.judge:
            return self.judge.inside(alone, thresholds, languages)
        return np.zeros(len(alone), dtype=bool)

    def decided(
        self, by_member: NDArray[np.float64], thresholds: NDArray[np.float64], languages: Sequence[str]
    ) -> Probabilities:
        """(n_members, n_posts) -> (n_posts,), in [0, 1]: the P that each post's threshold, in ``cuts``, is for.

        Members that were not scored, or gave no answer, stand as NaN.
        """
        if self.judge is None:
            return self.mean(by_member)
        first_stage = self.first_stage_members(len(by_member))
        rest = list(range(len(first_stage), len(by_member)))
        first = by_member[0] if len(first_stage) == 1 else self.of(first_stage).mean(by_member[first_stage])
        return self.judge.decide(first, self.of(rest).mean(by_member[rest]), thresholds, languages)

    def mean(self, by_member: NDArray[np.float64]) -> Probabilities:
        """(n_members, n_posts) -> (n_posts,), in [0, 1]; members that were not scored stand as NaN.

        NaN where none was. Raises ValueError when the weights are not one for each member.
        """
        weights = np.array(self.weights or np.ones(len(by_member)))
        if len(weights) != len(by_member):
            raise ValueError(f"{len(weights)} weights for {len(by_member)} members")
        has_score = ~np.isnan(by_member)
        total = (weights[:, None] * has_score).sum(axis=0)
        sums = np.where(has_score, weights[:, None] * by_member, 0.0).sum(axis=0)
        mean: Probabilities = np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)
        return np.clip(mean, 0.0, 1.0)
