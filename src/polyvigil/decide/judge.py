"""A judge: the first stage decides alone outside of a band around the threshold; inside it the second stage does.

Unlike a cascade, in which further members score a post for the same mean, a judge has the last word in its band, which
may reach further to one side: below the threshold for what the first stage missed, above it for what it flagged
in vain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_serializer, field_validator

from polyvigil.decide.policy import flagged
from polyvigil.decide.thresholds import logit
from polyvigil.types import Frozen, Probabilities


class Band(Frozen):
    """The posts of a language that the second stage decides, by the logit of the first stage's P less the threshold's.

    Both ends belong to it. ``below`` = ``above`` = 0 would still hold posts that lie on the threshold itself; where
    nothing is to be asked there is no band.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    below: float = Field(ge=0)
    above: float = Field(ge=0)
    bar: float = Field(gt=0, le=1)
    """The second stage's P from which on a post in the band is flagged."""
    posts: int = Field(ge=0)
    """Dev posts that the band was found on, with ``asked`` of them in it."""
    asked: int = Field(ge=0)


class Judge(Frozen):
    """Which posts the second stage decides, and how. Part of ``combination.json``.

    A post of first-stage P p and threshold t is in its band when -below <= logit p - logit t <= above. Its P is then
    where the second stage's P q lies in the band, a line from its lower end at q = 0 to t at q = bar, and one from
    there to its upper end at q = 1. So the threshold stays what it was for the first stage, the posts below, inside
    and above the band keep their order, and a post that could not be asked has the first stage's P and decision.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    members: int = Field(ge=1)
    """How many members the second stage has; an endpoint counts as one."""
    at_most: float = Field(gt=0, le=1)
    """The largest share of a language's posts that was to be asked."""
    bands: Mapping[str, Band | None]
    """Of each language that had dev posts; None: nothing is asked there."""
    other: Band | None
    """Of all other languages: found on the posts of all."""

    @field_validator("bands")
    @classmethod
    def _freeze(cls, value: Mapping[str, Band | None]) -> Mapping[str, Band | None]:
        return MappingProxyType(dict(sorted(value.items())))

    @field_serializer("bands")
    def _thaw(self, value: Mapping[str, Band | None]) -> dict[str, Band | None]:
        return dict(value)

    def band(self, language: str) -> Band | None:
        """The band that a post of this language group may be in."""
        return self.bands.get(language, self.other)

    def inside(
        self, first: Probabilities, thresholds: NDArray[np.float64], languages: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Which posts are in their band, (n_posts,), by the first stage's P and each post's threshold.

        A P of exactly 0 means "nothing to read": such a post is in none.
        """
        offsets = logit(first) - logit(thresholds)
        below, above = self._each(languages, "below"), self._each(languages, "above")
        inside: NDArray[np.bool_] = (first > 0) & (-below <= offsets) & (offsets <= above)  # False where NaN: no band
        return inside

    def decide(
        self, first: Probabilities, second: Probabilities, thresholds: NDArray[np.float64], languages: Sequence[str]
    ) -> Probabilities:
        """P of both stages, (n_posts,), in [0, 1]; ``second`` is NaN where it gave no score."""
        answered = self.inside(first, thresholds, languages) & ~np.isnan(second)
        bars = self._each(languages, "bar")[answered]
        ends = (_moved(thresholds, -self._each(languages, "below")), _moved(thresholds, self._each(languages, "above")))
        result = first.copy()
        result[answered] = _placed(second[answered], bars, thresholds[answered], ends[0][answered], ends[1][answered])
        return result

    def _each(self, languages: Sequence[str], name: str) -> NDArray[np.float64]:
        """A field of each post's band; NaN without one."""
        known = {language: getattr(self.band(language), name, np.nan) for language in set(languages)}
        return np.array([known[language] for language in languages], dtype=np.float64)


def _moved(thresholds: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """The P whose logit is that of the cut plus an offset; exactly the cut for 0."""
    moved: NDArray[np.float64] = 1 / (1 + np.exp(-(logit(thresholds) + offsets)))
    return np.where(offsets < 0, np.minimum(moved, thresholds), np.maximum(moved, thresholds))


def _placed(
    second: Probabilities,
    bars: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> Probabilities:
    """Where each answer lies in its band; the side of the cut is that of the bar, whatever floats do."""
    with np.errstate(divide="ignore", invalid="ignore"):
        up = thresholds + (high - thresholds) * np.nan_to_num((second - bars) / (1 - bars))
    down = np.minimum(thresholds - (thresholds - low) * (bars - second) / bars, np.nextafter(thresholds, 0))
    placed: Probabilities = np.where(flagged(second, bars), np.clip(up, thresholds, 1.0), np.clip(down, 0.0, 1.0))
    return placed
