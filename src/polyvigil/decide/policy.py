"""The decision: one frozen policy, and in it the only comparison between a probability and a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from polyvigil.decide.thresholds import RULES
from polyvigil.errors import DataError
from polyvigil.records import Labels, Probabilities
from polyvigil.specs import DecideSpec
from polyvigil.text.language import is_cadec

ThresholdSource = Literal["own", "pooled", "fallback"]


class Threshold(BaseModel):
    """A threshold and how it was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(gt=0, le=1)
    source: ThresholdSource
    """own: on this language's dev posts; pooled: on all of them, since the language's hold one class only; fallback:
    the mean of the own ones, for a language without dev posts."""
    rule: str
    posts: int = Field(ge=0)
    positives: int = Field(ge=0)
    same_set_f1: float | None = None
    """F1 on the very posts the threshold was tuned on; optimistic."""


class DecisionPolicy(BaseModel):
    """One threshold for each language group that had dev posts, and one for all others. ``policy.json`` of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["f1-per-language"] = "f1-per-language"
    thresholds: Mapping[str, Threshold]
    fallback: Threshold
    dev_fingerprint: str

    @field_validator("thresholds")
    @classmethod
    def _freeze(cls, value: Mapping[str, Threshold]) -> Mapping[str, Threshold]:
        return MappingProxyType(dict(sorted(value.items())))

    @field_serializer("thresholds")
    def _thaw(self, value: Mapping[str, Threshold]) -> dict[str, Threshold]:
        return dict(value)

    def threshold(self, language: str) -> Threshold:
        """The threshold that decides a post of this language group."""
        return self.thresholds.get(language, self.fallback)

    def flags(self, probabilities: Probabilities, languages: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each post is flagged as mentioning an ADE: shape (n_posts,), in their order."""
        cuts = np.array([self.threshold(language).value for language in languages])
        return probabilities >= cuts


def tune(
    probabilities: Probabilities,
    labels: Labels,
    languages: Sequence[str],
    *,
    spec: DecideSpec,
    dev_fingerprint: str,
) -> DecisionPolicy:
    """Tune one threshold per language group on stored dev probabilities, each of shape (n_posts,).

    A group of one class gets the pooled threshold. The fallback is the paper's: the mean of the own thresholds, CADEC
    groups left out. Raises DataError when the dev posts as a whole hold one class only.
    """
    rule = RULES[spec.rule]
    names = np.asarray(languages)
    reachable = (labels == 1) & (probabilities > 0)
    if not reachable.any() or labels.all():
        raise DataError(
            f"the {len(labels)} dev posts hold {int(labels.sum())} positives; thresholds need both classes",
            hint="check which split was read, or give more dev posts",
        )
    pooled = rule(probabilities, labels)
    thresholds = {}
    for language in sorted(set(languages)):
        mine = names == language
        positives = int(labels[mine].sum())
        own = bool(reachable[mine].any()) and not labels[mine].all()
        cut = rule(probabilities[mine], labels[mine]) if own else pooled
        thresholds[language] = Threshold(
            value=cut.threshold,
            source="own" if own else "pooled",
            rule=spec.rule,
            posts=int(np.count_nonzero(mine)),
            positives=positives,
            same_set_f1=cut.f1 if own else None,
        )
    own_ones = [t for name, t in thresholds.items() if t.source == "own" and not is_cadec(name)]
    return DecisionPolicy(
        thresholds=thresholds,
        fallback=Threshold(
            value=float(np.mean([t.value for t in own_ones])) if own_ones else pooled.threshold,
            source="fallback" if own_ones else "pooled",
            rule="mean" if own_ones else spec.rule,
            posts=sum(t.posts for t in own_ones),
            positives=sum(t.positives for t in own_ones),
        ),
        dev_fingerprint=dev_fingerprint,
    )
