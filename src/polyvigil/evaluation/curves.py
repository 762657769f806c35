"""What the true ranking curve may look like: draws of recall and false-positive rate along the scores of positives.

The share of all positives that lies between two neighbouring positives of a sample follows a uniform Dirichlet law,
whatever the scores' distribution (order statistics; Rubin's Bayesian bootstrap, 1981, smoothed as in Banks 1988). The
share of negatives above a score with m of N above it is drawn from Beta(m + 1/2, N - m + 1/2), Jeffreys' posterior.
So a perfect ranking has a spread too, and what lies below the lowest positive is never thought empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.bootstrap import entry_ranks
from polyvigil.types import Labels, Probabilities


@dataclass(frozen=True, slots=True)
class Curves:
    """Draws of one ranking's curve, each from (0, 0) to (1, 1) and straight in between: (rounds, n_points)."""

    recall: NDArray[np.float64]
    false_rate: NDArray[np.float64]
    positives: int
    negatives: int

    def recall_after(self, posts: float) -> NDArray[np.float64]:
        """Recall when the ``posts`` highest scores are read, in [0, 1]: (rounds,)."""
        return _crossing(self._read(), self.recall, posts)

    def read_for(self, recall: float) -> NDArray[np.float64]:
        """Share of posts to read for a ``recall``, in [0, 1]: (rounds,)."""
        return _crossing(self.recall, self._read(), recall) / (self.positives + self.negatives)

    def _read(self) -> NDArray[np.float64]:
        return self.positives * self.recall + self.negatives * self.false_rate


def sample_curves(labels: Labels, probabilities: Probabilities, *, rounds: int, random: np.random.Generator) -> Curves:
    """Curves of (n_posts,) scores, equal ones entering together. Raises ValueError without positives."""
    ranks = entry_ranks(labels, probabilities)
    above = np.bincount(ranks[labels == 1]).astype(np.float64)
    if not len(above):
        raise ValueError("no positives")
    false_above = np.bincount(ranks[labels == 0], minlength=len(above) + 1).astype(np.float64)
    false_above[[0, -1]] += 0.5
    return Curves(
        _cumulated(random, np.append(above, 1.0), rounds),
        _cumulated(random, false_above, rounds),
        int(np.count_nonzero(labels == 1)),
        int(np.count_nonzero(labels == 0)),
    )


def _cumulated(random: np.random.Generator, masses: NDArray[np.float64], rounds: int) -> NDArray[np.float64]:
    """Cumulated shares of a Dirichlet law, with a 0 before them: (rounds, len(masses) + 1), the last 1."""
    sampled = np.zeros((rounds, len(masses) + 1))
    np.cumsum(random.standard_gamma(masses, size=(rounds, len(masses))), axis=1, out=sampled[:, 1:])
    return sampled / sampled[:, -1:]


def _crossing(x: NDArray[np.float64], y: NDArray[np.float64], at: float) -> NDArray[np.float64]:
    """Where each row's line through (x, y), x rising from 0, first reaches ``at`` (at most the row's last x)."""
    right = np.clip((x < at).sum(axis=1), 1, x.shape[1] - 1)[:, None]
    x0, x1, y0, y1 = (
        np.take_along_axis(*pair, axis=1)[:, 0] for pair in ((x, right - 1), (x, right), (y, right - 1), (y, right))
    )
    share = np.divide(at - x0, x1 - x0, out=np.ones_like(x0), where=x1 > x0)
    return y0 + np.clip(share, 0.0, 1.0) * (y1 - y0)
