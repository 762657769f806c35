"""A cascade: one member is asked first, and the others only where they can change the decision."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from polyvigil.decide.thresholds import logit
from polyvigil.types import Frozen, Probabilities


class CascadeCounts(Frozen):
    """What a cascade does on some posts."""

    model_config = ConfigDict(allow_inf_nan=False)

    posts: int = Field(ge=0)
    called: int = Field(ge=0)
    """Posts of which all members are asked."""
    disagreeing: int = Field(ge=0)
    """Posts that all members together would have decided otherwise."""
    cost: float = Field(ge=0)
    """Cost as a share of that of asking all members of every post."""

    @property
    def disagreement(self) -> float:
        """Share of posts decided otherwise, in [0, 1]; 0 of none."""
        return self.disagreeing / self.posts if self.posts else 0.0


class Cascade(Frozen):
    """Who is asked first, and how near to the threshold all are asked. Part of ``combination.json``.

    The first member alone decides a post of its probability p and its language's threshold t, unless
    |logit p - logit t| <= band; then all are asked, and their combination decides by the same threshold.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    first: int = Field(ge=0)
    """The place of the member that is asked first."""
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
        """Whether the others are asked too: (n_posts,), of the first member's P and each post's threshold.

        A P of exactly 0 means "nothing to read": nobody else is asked.
        """
        return (first > 0) & (distance(first, thresholds) <= self.band)


def distance(probabilities: Probabilities, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """|logit p - logit t|, (n_posts,), in [0, 28]: logits are held inside those of 1e-6 and 1 - 1e-6."""
    apart: NDArray[np.float64] = np.abs(logit(probabilities) - logit(thresholds))
    return apart
