"""A cascade for a bundle whose thresholds have just been tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.cascade import Cascade
from polyvigil.decide.fit_cascade import fit_cascade
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.errors import RecipeError


@dataclass(frozen=True, slots=True)
class CascadeOptions:
    """``stated``: the share of posts on which the cascade may disagree with all members together, in [0, 1)."""

    stated: float
    first: int | None = None
    """The place of the member to ask first; None: the one that makes the cascade cheapest."""
    costs: tuple[float, ...] = ()
    """Of asking each member; empty: all the same."""


def cascade_for(
    options: CascadeOptions,
    by_member: NDArray[np.float64],
    posts: DevScores,
    policy: DecisionPolicy,
    *,
    groups: Sequence[str],
) -> Cascade:
    """The cascade that was wished for, learned on ``by_member`` (n_members, n_posts). Raises RecipeError."""
    check(options, members=len(by_member))
    return fit_cascade(
        by_member, posts, policy, stated=options.stated, groups=groups, first=options.first, costs=options.costs
    )


def check(options: CascadeOptions, *, members: int) -> None:
    """Raises RecipeError for a wish that a bundle of so many members cannot have; called before posts are scored."""
    if members < 2:
        raise RecipeError(
            "the bundle has one member, and a cascade needs another to call",
            where="--cascade",
            hint="join bundles first: polyvigil ensemble BUNDLE BUNDLE -o OUT",
        )
    if not 0 <= options.stated < 1:
        raise RecipeError(
            f"{options.stated:g} is no share of posts, at least 0 and below 1", where="--cascade", hint="as 0.005"
        )
    if options.first is not None and options.first not in range(members):
        raise RecipeError(
            f"there is no member at place {options.first}",
            where="--cascade-first",
            hint=f"the places are 0 to {members - 1}; polyvigil inspect BUNDLE shows them",
        )
    if options.costs and (len(options.costs) != members or not all(0 < cost < np.inf for cost in options.costs)):
        raise RecipeError(
            f"{len(options.costs)} costs given for {members} members; give each member one above 0",
            where="--cascade-costs",
        )
