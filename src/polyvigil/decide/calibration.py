"""Calibration: monotone maps from a stored probability p, the members' mean, to the probability that it should be.

A map is data, so that it can stand in a bundle. Every map reads p clipped to [1e-6, 1 - 1e-6] where it takes a
logarithm; it is flat beyond. ``decide.fit_calibration`` finds the maps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, RootModel, field_serializer, field_validator, model_validator
from scipy.special import expit

from polyvigil.types import Frozen, Probabilities

CLIP = 1e-6
_WAYS = 64


def logs(probabilities: Probabilities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ln p and -ln(1 - p) with p clipped at 1e-6, each (n,); their sum is logit p."""
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.log(clipped), -np.log1p(-clipped)


class Identity(Frozen):
    """P = p, not clipped."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Literal["identity"] = "identity"


class Temperature(Frozen):
    """P = sigmoid(slope x logit p), one slope for all languages; the temperature is 1 / slope (Guo et al. 2017)."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Literal["temperature"] = "temperature"
    slope: float = Field(gt=0)


class Platt(Frozen):
    """P = sigmoid(slope x logit p + offset), the same for all languages (Platt 1999)."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Literal["platt"] = "platt"
    slope: float = Field(gt=0)
    offset: float


class PlattParameters(Frozen):
    """What one language does to logit p."""

    model_config = ConfigDict(allow_inf_nan=False)

    slope: float = Field(gt=0)
    offset: float


class HierarchicalPlatt(Frozen):
    """Platt with a slope and an offset for each language, and the pooled ones for a language without."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Literal["hierarchical-platt"] = "hierarchical-platt"
    pooled: PlattParameters
    languages: Mapping[str, PlattParameters]

    @field_validator("languages")
    @classmethod
    def _freeze(cls, value: Mapping[str, PlattParameters]) -> Mapping[str, PlattParameters]:
        return MappingProxyType(dict(sorted(value.items())))

    @field_serializer("languages")
    def _thaw(self, value: Mapping[str, PlattParameters]) -> dict[str, PlattParameters]:
        return dict(value)


class Beta(Frozen):
    """P = sigmoid(a ln p - b ln(1 - p) + c), the same for all languages (Kull, Silva Filho and Flach 2017)."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Literal["beta"] = "beta"
    a: float = Field(ge=0)
    b: float = Field(ge=0)
    c: float


class Isotonic(Frozen):
    """Straight lines between knots, flat beyond the first and the last; the same for all languages."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Literal["isotonic"] = "isotonic"
    scores: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(min_length=1)
    """p of the knots, rising."""
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    """P of the knots, never falling."""

    @model_validator(mode="after")
    def _knots(self) -> Isotonic:
        if len(self.scores) != len(self.shares):
            raise ValueError(f"{len(self.scores)} scores, {len(self.shares)} shares")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.shares) < 0).any():
            raise ValueError("the scores of the knots must rise and their shares must not fall")
        return self


_Map: TypeAlias = Identity | Temperature | Platt | HierarchicalPlatt | Beta | Isotonic


class Calibration(RootModel[Annotated[_Map, Field(discriminator="kind")]]):
    """One map, and what is done with it. Its JSON is the map's: ``{"kind": "platt", "slope": ..., "offset": ...}``."""

    model_config = ConfigDict(frozen=True)

    def calibrated(self, probabilities: Probabilities, languages: Sequence[str]) -> Probabilities:
        """The calibrated P of each post: (n_posts,), in [0, 1], order kept; never falling in p within a language.

        Exactly 0 means "nothing to read" and stays 0. Raises ValueError when there are not as many languages.
        """
        if len(probabilities) != len(languages):
            raise ValueError(f"{len(probabilities)} probabilities, {len(languages)} languages")
        return np.where(probabilities > 0, _mapped(self.root, probabilities, languages), 0.0)

    def of(self, language: str) -> Calibration:
        """The map of one language's posts, the same for every language: faster where all posts are of one."""
        if not isinstance(self.root, HierarchicalPlatt):
            return self
        line = self.root.languages.get(language, self.root.pooled)
        return Calibration.model_construct(Platt.model_construct(slope=line.slope, offset=line.offset))

    def threshold(self, q: float, language: str) -> float:
        """The smallest float t in (0, 1] with calibrated(t) >= q: the inverse, so p >= t just when calibrated P >= q.

        Where the map is flat at q, the start of the flat piece. A q at or below all of the language's P gives the
        smallest float above 0 (5e-324: every post with something to read); a q that p = 1 does not reach gives
        infinity: no post. Raises ValueError unless 0 < q <= 1, since a P of 0 may never be flagged.
        """
        if not 0 < q <= 1:
            raise ValueError(f"a threshold on calibrated probabilities must be above 0 and at most 1, not {q}")
        by = self.of(language).root
        if _mapped(by, np.ones(1), ())[0] < q:
            return math.inf
        # Positive floats have the order of their bit patterns, so the search is among whole numbers, and exact.
        below, reached = 0, int(np.float64(1).view(np.int64))
        while reached - below > 1:
            stride = max(1, (reached - below) // _WAYS)
            tried = np.arange(below + stride, reached, stride, dtype=np.int64)
            enough = _mapped(by, tried.view(np.float64), ()) >= q
            first = int(enough.argmax()) if enough.any() else len(tried)
            if first:
                below = int(tried[first - 1])
            if first < len(tried):
                reached = int(tried[first])
        return float(np.int64(reached).view(np.float64))


def shifted(calibrated: Probabilities, shift: float | NDArray[np.float64]) -> Probabilities:
    """Calibrated P with ``shift`` added to its logit, one for all posts or one for each: (n_posts,), order kept within
    a shift; 0 stays 0 and 1 stays 1."""
    factor = np.exp(shift)
    result: Probabilities = calibrated * factor / (calibrated * factor + (1 - calibrated))
    return result


def prior_shift(share: float, prevalence: float) -> float:
    """What is added to the logit of a P that holds where ``share`` of the posts are positive, for it to hold where
    ``prevalence`` are: Bayes' rule, where posts of each class look as they did (Saerens et al. 2002). Both in (0, 1).
    """
    return math.log(prevalence / (1 - prevalence)) - math.log(share / (1 - share))


def _mapped(by: _Map, probabilities: Probabilities, languages: Sequence[str]) -> Probabilities:
    """P of p above 0: (n,), order kept. ``languages`` are read by ``HierarchicalPlatt`` alone."""
    match by:
        case Identity():
            return probabilities
        case Temperature():
            return _sigmoid(by.slope * _logit(probabilities))
        case Platt():
            return _sigmoid(by.slope * _logit(probabilities) + by.offset)
        case HierarchicalPlatt():
            slopes, offsets = _lines(by, languages)
            return _sigmoid(slopes * _logit(probabilities) + offsets)
        case Beta():
            low, high = logs(probabilities)
            return _sigmoid(by.a * low + by.b * high + by.c)
        case Isotonic():
            return _between_knots(np.array(by.scores), np.array(by.shares), probabilities)


def _lines(by: HierarchicalPlatt, languages: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The slope and the offset for each post, each (n,)."""
    lines = [*by.languages.values(), by.pooled]
    index_of = {language: index for index, language in enumerate(by.languages)}
    which = np.fromiter((index_of.get(language, -1) for language in languages), np.intp, len(languages))
    return np.array([line.slope for line in lines])[which], np.array([line.offset for line in lines])[which]


def _between_knots(
    scores: NDArray[np.float64], shares: NDArray[np.float64], probabilities: Probabilities
) -> Probabilities:
    next_knot = np.minimum(np.searchsorted(scores, probabilities), len(scores) - 1)
    # Rounding can lift the end of a line above its knot, and the map would fall there.
    return np.minimum(np.interp(probabilities, scores, shares), shares[next_knot])


def _logit(probabilities: Probabilities) -> NDArray[np.float64]:
    low, high = logs(probabilities)
    return low + high


def _sigmoid(scores: NDArray[np.float64]) -> Probabilities:
    """1 / (1 + exp(-x)): rounding cannot make it fall, as it can e / (1 + e)."""
    result: Probabilities = expit(scores)
    return result
