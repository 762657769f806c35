"""What the linear detector minimises, and what comes out: what both of its solvers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyvigil.learn.linear_scale import Scale


@dataclass(frozen=True, slots=True)
class Problem:
    """|w|^2 / 2 + the sum over posts of cost x log(1 + exp(-margin)), on TF-IDF features times ``scale``.

    ``labels`` 0 or 1, ``costs`` C of each post, ``translated``: which posts are translations, (n_posts,). Translated
    posts are a domain of their own (Daume 2007): the product of the features of two posts counts ``likeness`` times, in
    [0, 1], where one of them is translated and the other is not.
    """

    labels: NDArray[np.int8]
    costs: NDArray[np.float64]
    translated: NDArray[np.bool_]
    likeness: float
    scale: Scale


@dataclass(frozen=True, slots=True)
class Weights:
    """n-grams with the weights that posts as people wrote them are scored with, in no particular order: ``hashes``,
    ``is_words``, ``idf`` and ``weights`` (n,)."""

    hashes: NDArray[np.uint64]
    is_words: NDArray[np.bool_]
    idf: NDArray[np.float32]
    weights: NDArray[np.float32]
    intercept: float


def idf_of(n_posts: int, posts_with: NDArray[Any]) -> NDArray[np.float64]:
    """Inverse document frequencies as scikit-learn's smoothed ones, rounded to what is stored: (n,)."""
    idf = np.log((1 + n_posts) / (1 + posts_with.astype(np.float64))) + 1
    return idf.astype(np.float32).astype(np.float64)


class Largest:
    """The n-grams with the largest weights by size, of those that were added; of equal ones those of smaller hashes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.smallest = 0.0
        """No weight below this size can be among them any more."""
        self._parts: list[Weights] = []
        self._held = 0

    def add(
        self,
        hashes: NDArray[np.uint64],
        is_words: NDArray[np.bool_],
        idf: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        """All (n,), not changed afterwards."""
        self._parts.append(Weights(hashes, is_words, idf, weights, 0.0))
        self._held += len(hashes)
        if self._held > 2 * self.most:
            self._parts = [self.weights(intercept=0.0)]
            self._held = self.most
            self.smallest = float(np.abs(self._parts[0].weights).min())

    def weights(self, *, intercept: float) -> Weights:
        """Those that are kept."""
        hashes, is_words, idf, weights = (
            np.concatenate([getattr(part, name) for part in self._parts])
            for name in ("hashes", "is_words", "idf", "weights")
        )
        if len(hashes) > self.most:
            kept = np.sort(np.lexsort((hashes, -np.abs(weights)))[: self.most])
            hashes, is_words, idf, weights = (array[kept] for array in (hashes, is_words, idf, weights))
        return Weights(hashes, is_words, idf, weights, intercept)
