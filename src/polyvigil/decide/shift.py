"""Thresholds old and new, language by language, and what the move does to the share of posts flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.policy import DecisionPolicy, Threshold
from polyvigil.decide.thresholds import at_share
from polyvigil.types import Frozen, Probabilities


class Shift(Frozen):
    """One language. Shares are of the same posts, in [0, 1]; each policy's on the scores it was made for."""

    language: str
    posts: int
    old: float
    new: float
    old_share: float
    new_share: float
    source: str
    """How the new threshold was found."""


@dataclass(frozen=True, slots=True)
class Side:
    """A policy and its scores of some posts, (n_posts,). ``abstained``: those that are not flagged whatever their P
    (bundle.store.Bundle.abstains); None: none."""

    policy: DecisionPolicy
    probabilities: Probabilities
    abstained: NDArray[np.bool_] | None = None

    def flags(self, languages: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each post is flagged, as scoring does: (n_posts,)."""
        flags = self.policy.flags(self.probabilities, languages)
        return flags if self.abstained is None else flags & ~self.abstained


def shifts(old: Side, new: Side, languages: Sequence[str]) -> tuple[Shift, ...]:
    """Every language of the posts, by name. Both sides scored the same posts, in the same order."""
    names = np.asarray(languages)
    flags = [side.flags(languages) for side in (old, new)]
    return tuple(
        Shift(
            language=name,
            posts=int(np.count_nonzero(names == name)),
            old=old.policy.threshold(name).value,
            new=new.policy.threshold(name).value,
            old_share=float(flags[0][names == name].mean()),
            new_share=float(flags[1][names == name].mean()),
            source=new.policy.threshold(name).source_name,
        )
        for name in sorted(set(languages))
    )


def transport(old: Side, probabilities: Probabilities, languages: Sequence[str]) -> dict[str, Threshold]:
    """Thresholds for new scores of the same posts, labels unknown: each language keeps the share that ``old`` flags.

    After a retrain without labelled posts this loses least (docs/decisions/0006).
    """
    names = np.asarray(languages)
    flags = old.flags(languages)
    thresholds = {}
    for name in sorted(set(languages)):
        mask = names == name
        share = float(flags[mask].mean())
        few = f"{flags[mask].sum():,} of {mask.sum():,} posts are flagged; more posts would tell better"
        thresholds[name] = Threshold(
            value=at_share(probabilities[mask], share),
            source="transported",
            rule="flag-rate",
            posts=int(mask.sum()),
            positives=0,
            warnings=(few,) if flags[mask].sum() < 20 else (),
        )
    return thresholds
