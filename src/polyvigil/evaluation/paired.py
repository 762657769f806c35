"""Two systems on the same posts: differences of F1, macro F1 and average precision, with intervals and p-values.

In: the labels, both systems' flags and scores, the posts' groups. Out: `Comparison` parts, JSON-ready. Posts stay
paired and groups are resampled whole, so what both systems share does not count as difference; p-values are by sign-
flipping randomisation, and those of several slices are corrected by Holm (1979). Source: docs/decisions, "paired
comparison".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtr, ndtri

from polyvigil.evaluation.decision_cells import cells_of, randomisation_p, resampled_differences
from polyvigil.evaluation.groups import POOLED, groups_of
from polyvigil.evaluation.intervals import LEVEL, entry_ranks, resampled_average_precision, share_interval
from polyvigil.evaluation.intervals import ROUNDS as RANKING_ROUNDS
from polyvigil.metrics import average_precision, count
from polyvigil.types import Frozen, Labels, Probabilities


class Difference(Frozen):
    """A metric of two systems: the first's less the second's, with its central 95% interval, all in [-1, 1].

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


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the order given, each in [0, 1]; reject those at or under the level asked for.

    The k-th smallest of m is multiplied by m - k + 1, then none may lie under a smaller one's (Holm 1979): the chance
    of any false alarm among the m stays under the level, whatever ties the tests together.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return tuple(adjusted.tolist())


POWER = 0.8
_TAIL = (1 - LEVEL) / 2
_SIGMAS = float(-ndtri(_TAIL))
_DETECTABLE = float(_SIGMAS + ndtri(POWER))  # 2.80 standard errors
_NO_VARIATION = 1e-12


def f1_difference(
    labels: Labels, first: NDArray[np.bool_], second: NDArray[np.bool_], strata: NDArray[np.str_], *, rounds: int
) -> Difference:
    """Difference in F1 of (n_posts,) flags: percentiles of the Bayesian bootstrap, p by it and by randomisation."""
    if not (labels == 1).any():
        return _no_difference(p_randomisation=1.0)
    cells = cells_of(labels, first, second, strata)
    random = np.random.default_rng(0)
    sampled = resampled_differences(cells, rounds=rounds, random=random)
    if not cells.discordant:
        sampled = np.append(sampled, -sampled)  # the law is symmetric, so the draws may be
    low, high = np.quantile(sampled, [_TAIL, 1 - _TAIL])
    error = float(sampled.std())
    return Difference(
        first=count(labels, first).f1,
        second=count(labels, second).f1,
        difference=cells.difference,
        low=min(float(low), cells.difference),
        high=max(float(high), cells.difference),
        standard_error=error,
        detectable=_DETECTABLE * error,
        p_bootstrap=_p_of(sampled),
        p_randomisation=randomisation_p(cells, rounds=rounds, random=random),
    )


def ranking_difference(
    labels: Labels, first: Probabilities, second: Probabilities, strata: NDArray[np.str_], *, rounds: int
) -> Difference:
    """Difference in average precision of (n_posts,) scores: normal with the resampled standard error.

    Where every resample gives the same difference, as for two perfect rankings, the half-width is the upper bound of a
    share of none of the positives.
    """
    positives = int(np.count_nonzero(labels == 1))
    if not positives:
        return _no_difference()
    values = average_precision(labels, first), average_precision(labels, second)
    difference = values[0] - values[1]
    ranks = np.stack([entry_ranks(labels, first), entry_ranks(labels, second)])
    sampled = resampled_average_precision(labels, ranks, strata.tolist(), rounds=rounds)
    error = float(np.std(sampled[:, 0] - sampled[:, 1]))
    if error < _NO_VARIATION:
        error = share_interval(0, positives).high / _SIGMAS
    return Difference(
        first=values[0],
        second=values[1],
        difference=difference,
        low=max(difference - _SIGMAS * error, -1.0),
        high=min(difference + _SIGMAS * error, 1.0),
        standard_error=error,
        detectable=_DETECTABLE * error,
        p_bootstrap=float(2 * ndtr(-abs(difference) / error)),
    )


def _p_of(sampled: NDArray[np.float64]) -> float:
    """Two-sided p of "no difference": twice the smaller share of draws on either side of 0, in (0, 1]."""
    sides = np.count_nonzero(sampled <= 0), np.count_nonzero(sampled >= 0)
    return min(2 * (min(sides) + 1) / (len(sampled) + 1), 1.0)


def _no_difference(*, p_randomisation: float | None = None) -> Difference:
    return Difference(
        first=0.0, second=0.0, difference=0.0, low=-1.0, high=1.0, p_bootstrap=1.0, p_randomisation=p_randomisation
    )


ROUNDS = 10_000


@dataclass(frozen=True, slots=True)
class System:
    """What one system says of each post: flags of shape (n_posts,), and scores of that shape where they are known."""

    flags: NDArray[np.bool_]
    probabilities: Probabilities | None = None


def compare_systems(
    labels: Labels,
    languages: Sequence[str],
    first: System,
    second: System,
    *,
    rounds: int = ROUNDS,
    ranking_rounds: int = RANKING_ROUNDS,
) -> Paired:
    """Compare two systems on posts with (n_posts,) labels. Average precision is compared when both have scores.

    ``rounds`` of resampling and of swapping for F1, ``ranking_rounds`` of resampling for average precision.
    Deterministic; with the systems swapped every difference only changes its sign. Raises ValueError when there are no
    posts or the shapes differ.
    """
    for system in (first, second):
        for values in (system.flags, system.probabilities):
            if values is not None and values.shape != labels.shape:
                raise ValueError(f"{labels.shape} labels, {values.shape} flags or probabilities")
    if len(languages) != len(labels):
        raise ValueError(f"{len(labels)} labels, {len(languages)} languages")
    if _comes_later(first, second):
        return turned(compare_systems(labels, languages, second, first, rounds=rounds, ranking_rounds=ranking_rounds))
    groups = groups_of(languages)

    def part(name: str, mask: NDArray[np.bool_]) -> PairedSlice:
        return _slice(
            name,
            labels[mask],
            groups.names[mask],
            _of(first, mask),
            _of(second, mask),
            rounds=rounds,
            ranking_rounds=ranking_rounds,
        )

    slices = tuple(part(name, mask) for name, mask in groups.languages.items())
    return Paired(pooled=part(POOLED, groups.pooled), languages=_corrected(slices))


def _slice(
    name: str,
    labels: Labels,
    strata: NDArray[np.str_],
    first: System,
    second: System,
    *,
    rounds: int,
    ranking_rounds: int,
) -> PairedSlice:
    ranking = None
    if first.probabilities is not None and second.probabilities is not None:
        ranking = ranking_difference(labels, first.probabilities, second.probabilities, strata, rounds=ranking_rounds)
    return PairedSlice(
        name=name,
        posts=len(labels),
        positives=int(np.count_nonzero(labels == 1)),
        discordant=int(np.count_nonzero(first.flags != second.flags)),
        f1=f1_difference(labels, first.flags, second.flags, strata, rounds=rounds),
        average_precision=ranking,
    )


def _corrected(slices: tuple[PairedSlice, ...]) -> tuple[PairedSlice, ...]:
    """The slices with Holm's correction, for each metric, over those that have positives."""
    with_positives = [part for part in slices if part.positives]
    f1s = _with_holm([part.f1 for part in with_positives])
    rankings = _with_holm([part.average_precision for part in with_positives if part.average_precision])
    return tuple(
        part.model_copy(update={"f1": next(f1s), "average_precision": next(rankings, None)}) if part.positives else part
        for part in slices
    )


def _with_holm(differences: Sequence[Difference]) -> Iterator[Difference]:
    p_values = [f.p_bootstrap if f.p_randomisation is None else f.p_randomisation for f in differences]
    for difference, p_value in zip(differences, holm(p_values), strict=True):
        yield difference.model_copy(update={"p_holm": p_value})


def correct_together(pairs: Sequence[Paired]) -> list[Paired]:
    """Several comparisons that are read together, with Holm's correction over all of them: that of the pooled metrics
    over the pairs, that of the languages with positives over pairs and languages."""
    pooled = iter(_corrected(tuple(pair.pooled for pair in pairs)))
    parts = iter(_corrected(tuple(part for pair in pairs for part in pair.languages)))
    return [Paired(pooled=next(pooled), languages=tuple(next(parts) for _ in pair.languages)) for pair in pairs]


def _of(system: System, mask: NDArray[np.bool_]) -> System:
    return System(system.flags[mask], None if system.probabilities is None else system.probabilities[mask])


def _comes_later(first: System, second: System) -> bool:
    """Whether the pair is resampled in swapped order, so that a swap changes signs and nothing else."""
    lower = np.sign(second.flags.astype(np.float64) - first.flags)
    if not lower.any() and first.probabilities is not None and second.probabilities is not None:
        lower = np.sign(second.probabilities - first.probabilities)
    return bool(lower.any() and lower[np.flatnonzero(lower)[0]] > 0)
