"""Which bundles are joined and how, and whether they go together; looked at before anything is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.store import Bundle
from polyvigil.config.decide import DecideSpec
from polyvigil.errors import RecipeError, SplitError
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import LabelledPost

_MOST_MEMBERS = 100  # their folders have two digits


@dataclass(frozen=True, slots=True)
class Source:
    """A bundle and the folder that it was loaded from."""

    folder: Path
    bundle: Bundle


@dataclass(frozen=True, slots=True)
class EnsemblePlan:
    """How bundles are joined. Without ``dev`` posts they must all hold scores of the same ones."""

    decide: DecideSpec
    weights: tuple[float, ...] = ()
    """One for each bundle, dealt out over its members, or one for each member; none: all members weigh the same."""
    fit: bool = False
    """Fit the weights to the dev posts, and leave out members that get none."""
    dev: tuple[LabelledPost, ...] = ()
    data: str = "stored dev scores"
    """What the dev posts are called."""


def check(sources: Sequence[Source], plan: EnsemblePlan) -> None:
    """Raises RecipeError for bundles that cannot be one, or weights that are not for them."""
    if len(sources) < 2:
        raise RecipeError("one bundle is no ensemble", where="ensemble", hint="name two or more")
    named: dict[str, Path] = {}
    for source in sources:
        if source.bundle.id in named:
            raise RecipeError(
                f"the same bundle as {named[source.bundle.id]}", where=str(source.folder), hint="name each once"
            )
        named[source.bundle.id] = source.folder
        if source.bundle.combination.judge:
            raise RecipeError(
                "has a judge, which cannot be one member beside others",
                where=str(source.folder),
                hint="join the bundles of the first stage, then run polyvigil judge",
            )
        if (theirs := source.bundle.manifest.normalisation) != NORMALISATION:
            raise RecipeError(
                f"its members read posts normalised by {theirs}, a joined bundle by {NORMALISATION}",
                where=str(source.folder),
                hint="train it again",
            )
    sizes = [len(source.bundle.members) for source in sources]
    if sum(sizes) > _MOST_MEMBERS:
        raise RecipeError(f"{sum(sizes)} members are too many for one bundle", hint=f"at most {_MOST_MEMBERS}")
    if plan.fit and plan.weights:
        raise RecipeError("weights are either given or fitted", where="--weights", hint="leave --fit-weights out")
    if plan.weights and len(plan.weights) not in {len(sizes), sum(sizes)}:
        raise RecipeError(
            f"{len(plan.weights)} weights for {len(sizes)} bundles of {sum(sizes)} members",
            where="--weights",
            hint="give one for each bundle, or one for each member",
        )
    if wrong := [weight for weight in plan.weights if not 0 < weight < np.inf]:
        raise RecipeError(
            f"a weight must be above 0, not {wrong[0]:g}", where="--weights", hint="leave the bundle out instead"
        )


def leaks(dev: NDArray[np.uint64], train: NDArray[np.uint64]) -> tuple[str, ...]:
    """What to say of dev posts that a member was trained on, by text hashes. Raises SplitError for half or more."""
    shared = int(np.isin(dev, train).sum())
    summary = f"{shared:,} of {len(dev):,} texts of dev posts were trained on by a member"
    if 2 * shared >= len(dev):
        raise SplitError(
            f"{summary}; weights and thresholds found on them would be worthless",
            hint="give other posts: --dev DEV.csv",
        )
    return (f"{summary}; dev figures are a little optimistic",) if shared else ()
