"""From the members' probabilities to the one that is decided on: a weighted mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from polyvigil.decide.cascade import Cascade
from polyvigil.records import Probabilities


class Combination(BaseModel):
    """How the members of a bundle become one. ``combination.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """One for each member, in their order; only their ratios matter. Empty: all the same."""
    cascade: Cascade | None = None
    """Where set, posts are scored by it (bundle.store); thresholds are tuned on the mean of all members."""

    @property
    def of_all(self) -> Combination:
        """The same without the cascade: every member is asked of every post."""
        return Combination(weights=self.weights)

    def of(self, places: Sequence[int]) -> Combination:
        """The members at these places alone, every one asked."""
        return Combination(weights=tuple(self.weights[place] for place in places) if self.weights else ())

    def mean(self, by_member: NDArray[np.float64]) -> Probabilities:
        """(n_members, n_posts) -> (n_posts,), in [0, 1]; members that were not asked stand as NaN.

        Raises ValueError when the weights are not one for each member.
        """
        weights = np.array(self.weights or np.ones(len(by_member)))
        if len(weights) != len(by_member):
            raise ValueError(f"{len(weights)} weights for {len(by_member)} members")
        asked = ~np.isnan(by_member)
        total = (weights[:, None] * asked).sum(axis=0)
        mean: Probabilities = np.where(asked, weights[:, None] * by_member, 0.0).sum(axis=0) / total
        return np.clip(mean, 0.0, 1.0)
