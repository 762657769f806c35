"""Two systems' decisions on the same posts, as counts: all that a difference in F1 hangs on.

A post falls into one of eight cells: its label, and which of the two systems flagged it. Posts of one cell cannot be
told apart, so resampling posts is sampling the sizes of the cells, and swapping decisions by post samples one
binomial for each label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.metrics import f1
from polyvigil.types import Labels

_PRIOR = 0.5  # Jeffreys' prior for each of four cells
_SAME = 1e-12


@dataclass(frozen=True, slots=True)
class Cells:
    """Posts by stratum, label (0, 1) and decision (both, first only, second only, neither): (n_strata, 2, 4)."""

    posts: NDArray[np.int64]

    @property
    def discordant(self) -> int:
        """Posts that the two systems decide differently."""
        return int(self.posts[..., 1:3].sum())

    @property
    def difference(self) -> float:
        """F1 of the first less F1 of the second, over all strata together, in [-1, 1]."""
        return float(f1_difference(self.posts.sum(axis=0, dtype=np.float64)))


def cells_of(
    labels: Labels, first: NDArray[np.bool_], second: NDArray[np.bool_], strata: Sequence[str] | NDArray[np.str_]
) -> Cells:
    """The cells of (n_posts,) labels and flags."""
    names, stratum = np.unique(strata, return_inverse=True)
    code = (stratum * 2 + (labels == 1)) * 4 + 3 - 2 * first.astype(np.int64) - second
    return Cells(np.bincount(code, minlength=8 * len(names)).reshape(len(names), 2, 4))


def f1_difference(posts: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of the first system less that of the second, of tables (..., 2, 4) laid out as in Cells."""
    both, first, second, neither = np.moveaxis(posts, -1, 0)
    positives = (both + first + second + neither)[..., 1]
    one, other = both + first, both + second
    return f1(one[..., 1], one[..., 0], positives - one[..., 1]) - f1(
        other[..., 1], other[..., 0], positives - other[..., 1]
    )


def resampled_differences(cells: Cells, *, rounds: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Differences in F1 over ``rounds`` weighted resamples, (rounds,); positives and negatives of a stratum stay fixed.

    The Bayesian bootstrap (Rubin 1981): the cells' shares are sampled from their Dirichlet posterior under Jeffreys'
    prior, half a post for each cell. A bootstrap by multinomials gives systems that agree everywhere an interval of
    zero width, and at 10 to 24 positives covers 92% of the time where this covers 96%.
    """
    total = np.zeros((rounds, 2, 4))
    for table in cells.posts:
        weights = random.standard_gamma(table + _PRIOR, size=(rounds, 2, 4))
        total += weights * (table.sum(axis=1, keepdims=True) / weights.sum(axis=-1, keepdims=True))
    return f1_difference(total)


def randomisation_p(cells: Cells, *, rounds: int, random: np.random.Generator) -> float:
    """Two-sided p of "the two systems are one", by approximate randomisation (Noreen 1989), in (0, 1].

    Each round gives every post's two decisions to the systems by the toss of a coin; p = (hits + 1) / (rounds + 1), a
    hit being a difference as large as the observed one. Only posts decided differently matter: of those of one label
    the first system keeps a Binomial(number, 1/2).
    """
    table = cells.posts.sum(axis=0)
    split = table[:, 1] + table[:, 2]
    swapped = np.empty((rounds, 2, 4))
    swapped[...] = table
    swapped[..., 1] = random.binomial(split, 0.5, size=(rounds, 2))
    swapped[..., 2] = split - swapped[..., 1]
    hits = np.count_nonzero(np.abs(f1_difference(swapped)) > abs(cells.difference) - _SAME)
    return (hits + 1) / (rounds + 1)
