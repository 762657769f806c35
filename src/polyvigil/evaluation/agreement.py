"""How far two readers of the same posts agree: positive agreement, Cohen's kappa and Gwet's AC1, with intervals.

In: the two labels of each post that two people read without knowing of each other; other posts say nothing. Out: an
``Agreement``. Kappa falls where one label is rare, however well people agree; AC1 hardly does, and positive agreement
says how often one reader's ADE is the other's too, which no number of plain posts can raise.

Formulas: Cohen (1960) with the variance of Fleiss, Cohen and Everitt (1969); Gwet (2008), Computing inter-rater
reliability and its variance in the presence of high agreement, with t quantiles as in Gwet's own programs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from polyvigil.evaluation.intervals import LEVEL, Interval, share_interval
from polyvigil.types import Frozen

Floats = NDArray[np.float64]


class Coefficient(Frozen):
    """A chance-corrected coefficient, at most 1, its standard error, and its interval, cut off at -1 and 1."""

    value: float
    standard_error: float
    low: float
    high: float


class Agreement(Frozen):
    """Of two readers on ``posts`` posts. A coefficient is None where it is not defined: of fewer than two posts, and
    kappa where both readers gave one label alone."""

    posts: int
    both: int
    """Posts that both call an ADE."""
    one: int
    """Posts that one of them calls an ADE."""
    agreement: float
    """The share of posts with equal labels."""
    positive_agreement: float | None
    """2 both / (2 both + one): F1 of one reader against the other. None where neither saw an ADE."""
    positive_interval: Interval
    kappa: Coefficient | None
    ac1: Coefficient | None


def agreement(first: Sequence[int] | NDArray[np.int8], second: Sequence[int] | NDArray[np.int8]) -> Agreement:
    """Agreement of the labels, 0 or 1, that two readers gave to the same posts: (n_posts,), in the same order.

    Raises ValueError for labels of another kind or number, and without posts.
    """
    labels = np.stack([np.asarray(first), np.asarray(second)]) if len(first) == len(second) else np.empty((2, 0))
    if not labels.shape[1]:
        raise ValueError(f"{len(first)} and {len(second)} labels: no posts that two people read")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("a label is neither 0 nor 1")
    table = np.array([[np.count_nonzero((labels[0] == a) & (labels[1] == b)) for b in (0, 1)] for a in (0, 1)])
    both, one = int(table[1, 1]), int(table[0, 1] + table[1, 0])
    share = share_interval(both, both + one)  # PA = 2 s / (1 + s) of this share s, and rises with it
    low, high = (2 * s / (1 + s) for s in (share.low, share.high))
    return Agreement(
        posts=labels.shape[1],
        both=both,
        one=one,
        agreement=float(np.trace(table) / table.sum()),
        positive_agreement=2 * both / (2 * both + one) if both + one else None,
        positive_interval=Interval(low=low, high=high),
        kappa=cohens_kappa(table),
        ac1=gwets_ac1(table),
    )


def cohens_kappa(table: NDArray[np.int64], *, level: float = LEVEL) -> Coefficient | None:
    """Kappa of a square table of two readers, (n_labels, n_labels): posts by the label of the first and the second."""
    shares, n = _shares(table)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    chance = float(rows @ columns)
    if n < 2 or chance == 1:
        return None
    value = (float(np.trace(shares)) - chance) / (1 - chance)
    # of a post in cell (k, l), what kappa rests on: equal labels, less the chance that its labels have
    terms = np.eye(len(shares)) - (1 - value) * (columns[:, None] + rows[None, :])
    return _coefficient(value, shares, terms, chance, n, level)


def gwets_ac1(table: NDArray[np.int64], *, level: float = LEVEL) -> Coefficient | None:
    """AC1 of the same table."""
    shares, n = _shares(table)
    labels = len(shares)
    means = (shares.sum(axis=1) + shares.sum(axis=0)) / 2
    chance = float((means * (1 - means)).sum()) / (labels - 1)
    if n < 2:
        return None
    value = (float(np.trace(shares)) - chance) / (1 - chance)
    terms = np.eye(labels) - 2 * (1 - value) * (1 - (means[:, None] + means[None, :]) / 2) / (labels - 1)
    return _coefficient(value, shares, terms, chance, n, level)


def _shares(table: NDArray[np.int64]) -> tuple[Floats, int]:
    n = int(table.sum())
    return table / max(n, 1), n


def _coefficient(value: float, shares: Floats, terms: Floats, chance: float, n: int, level: float) -> Coefficient:
    """A coefficient with the delta method's standard error from the ``terms`` of each cell of the table."""
    observed = float(np.trace(shares))
    variance = float((shares * terms**2).sum()) - (observed - 2 * (1 - value) * chance) ** 2
    error = float(np.sqrt(max(variance, 0.0) / n)) / (1 - chance)
    half = error * float(stdtrit(n - 1, (1 + level) / 2))
    return Coefficient(value=value, standard_error=error, low=max(value - half, -1.0), high=min(value + half, 1.0))
