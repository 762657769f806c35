"""Two systems on the same posts: how far apart they are, how sure that is, and what these posts could show at all.

Both are measured on the same resamples, so what makes a post hard for both cancels out. The intervals speak of the
sampling of posts alone, as those of single figures do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.bootstrap import ROUNDS as RANKING_ROUNDS
from polyvigil.evaluation.groups import POOLED, groups_of
from polyvigil.evaluation.holm import holm
from polyvigil.evaluation.paired_differences import f1_difference, ranking_difference
from polyvigil.evaluation.paired_result import Difference, Paired, PairedSlice, turned
from polyvigil.types import Labels, Probabilities

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
    """The slices with Holm's correction, for each figure, over those that have positives."""
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


def _of(system: System, mask: NDArray[np.bool_]) -> System:
    return System(system.flags[mask], None if system.probabilities is None else system.probabilities[mask])


def _comes_later(first: System, second: System) -> bool:
    """Whether the pair is drawn the other way round, so that a swap changes signs and nothing else."""
    lower = np.sign(second.flags.astype(np.float64) - first.flags)
    if not lower.any() and first.probabilities is not None and second.probabilities is not None:
        lower = np.sign(second.probabilities - first.probabilities)
    return bool(lower.any() and lower[np.flatnonzero(lower)[0]] > 0)
