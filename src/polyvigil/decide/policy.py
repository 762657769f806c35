"""The decision: one frozen policy, and in it the only comparison between a probability and a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_serializer, field_validator

from polyvigil.config.decide import DecideSpec
from polyvigil.types import Frozen, Probabilities

ThresholdSource = Literal["own", "pooled", "similar", "prior", "transported", "fallback"]


REVIEWED = "reviewed"
"""The rule of a threshold that was moved half way to what reviewed posts say (workflows.tune_reviewed)."""


class Threshold(Frozen):
    """A threshold and how it was found."""

    value: float = Field(gt=0, le=1)
    source: ThresholdSource
    """own: on this language's dev posts; pooled: on all of them, since the language's hold one class only; similar:
    from the languages whose scores look alike; prior: from a prevalence the user gave; transported: keeps the flag
    rate of an older bundle; fallback: the mean of the own ones, for a language of which nothing was seen."""
    rule: str
    posts: int = Field(ge=0)
    """Posts it was found on, without labels where the source is similar, prior or transported."""
    positives: int = Field(ge=0)
    like: str = ""
    """The labelled language that weighed most, where the source is similar."""
    low: float | None = None
    """With ``high`` the middle 95% of what bootstrap resamples of the dev posts give."""
    high: float | None = None
    same_set_f1: float | None = None
    """F1 on the very posts the threshold was tuned on; optimistic."""
    warnings: tuple[str, ...] = ()

    @property
    def source_name(self) -> str:
        """The source as it stands in output rows: ``own``, ``similar:ru``."""
        return f"{self.source}:{self.like}" if self.like else self.source


class DecisionPolicy(Frozen):
    """One threshold for each language group that had dev posts, and one for all others. ``policy.json`` of a bundle."""

    spec: DecideSpec = DecideSpec()
    """By what rule and for what objective it was tuned."""
    thresholds: Mapping[str, Threshold]
    fallback: Threshold
    dev_fingerprint: str
    least_known: float = Field(default=0.0, ge=0, le=1)
    """A bundle that knows less of a post, in a language it was not trained on, abstains (bundle.store.Bundle)."""
    tuned_for: str = ""
    """Hash of members and combination whose scores it was tuned on; a bundle of others refuses it."""

    @field_validator("thresholds")
    @classmethod
    def _freeze(cls, value: Mapping[str, Threshold]) -> Mapping[str, Threshold]:
        return MappingProxyType(dict(sorted(value.items())))

    @field_serializer("thresholds")
    def _thaw(self, value: Mapping[str, Threshold]) -> dict[str, Threshold]:
        return dict(value)

    def with_thresholds(self, thresholds: Mapping[str, Threshold]) -> DecisionPolicy:
        """The same policy with these thresholds instead of its own."""
        return DecisionPolicy(
            spec=self.spec,
            thresholds=thresholds,
            fallback=self.fallback,
            dev_fingerprint=self.dev_fingerprint,
            least_known=self.least_known,
            tuned_for=self.tuned_for,
        )

    def was_tuned_on(self, fingerprint: str) -> bool:
        """Whether these posts gave the thresholds; not where some keep the flag rates of an older bundle, or were moved
        by reviewed posts."""
        kept = any(one.source == "transported" or one.rule == REVIEWED for one in self.thresholds.values())
        return fingerprint == self.dev_fingerprint and not kept

    def threshold(self, language: str) -> Threshold:
        """The threshold that decides a post of this language group."""
        return self.thresholds.get(language, self.fallback)

    def flags(self, probabilities: Probabilities, languages: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each post is flagged as mentioning an ADE: shape (n_posts,), in their order."""
        return flagged(probabilities, self.post_thresholds(languages))

    def post_thresholds(self, languages: Sequence[str]) -> NDArray[np.float64]:
        """The threshold of each post, (n_posts,), by its language group."""
        values = {language: self.threshold(language).value for language in {*languages}}
        return np.fromiter(map(values.__getitem__, languages), np.float64, len(languages))


def flagged(probabilities: Probabilities, thresholds: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    """Whether each post is flagged, (n_posts,): by one threshold for all, or by one for each."""
    return probabilities >= thresholds
