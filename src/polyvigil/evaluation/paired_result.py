"""What comes of comparing two systems on the same posts."""

from __future__ import annotations

from pydantic import Field

from polyvigil.types import Frozen


class Difference(Frozen):
    """A figure of two systems: the first's less the second's, with its central 95% interval, all in [-1, 1].

    Without positives no post can tell the systems apart: the interval is [-1, 1], p is 1, the rest None.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    standard_error: float | None = None
    detectable: float | None = None
    """The least true difference that such posts show, at the 5% level, in 80% of cases: 2.80 standard errors."""
    p_bootstrap: float
    p_randomisation: float | None = None
    """None for average precision: scores of two systems are on two scales, so they cannot be swapped."""
    p_holm: float | None = None
    """Of languages with positives: corrected over them, p_randomisation of F1 or p_bootstrap of average precision."""


class PairedSlice(Frozen):
    """Two systems on some of the posts."""

    name: str
    posts: int
    positives: int
    discordant: int = Field(ge=0)
    """Posts that the two decide differently."""
    f1: Difference
    average_precision: Difference | None = None


class Paired(Frozen):
    """Two systems on the same posts, pooled and by language group in alphabetical order."""

    pooled: PairedSlice
    """Over all rows but the CADEC groups; resampled within each language."""
    languages: tuple[PairedSlice, ...]


def turned(paired: Paired) -> Paired:
    """The same comparison with the systems swapped: every difference changes its sign and nothing else changes."""
    return Paired(pooled=_turned_slice(paired.pooled), languages=tuple(map(_turned_slice, paired.languages)))


def _turned_slice(part: PairedSlice) -> PairedSlice:
    ranking = part.average_precision
    return part.model_copy(
        update={"f1": _turned_difference(part.f1), "average_precision": ranking and _turned_difference(ranking)}
    )


def _turned_difference(difference: Difference) -> Difference:
    return difference.model_copy(
        update={
            "first": difference.second,
            "second": difference.first,
            "difference": 0.0 - difference.difference,
            "low": 0.0 - difference.high,
            "high": 0.0 - difference.low,
        }
    )
