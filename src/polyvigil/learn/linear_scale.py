"""How strongly the penalty holds each n-gram's weight back: all alike, or less where the classes differ (naive Bayes).

Wang and Manning (2012) multiply the features of a linear model by their naive-Bayes log ratios, so that the penalty on
an n-gram's weight is divided by the square of it: n-grams that stand in posts of one class alone may weigh much, those
of both classes little. Only the stored weights change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMOOTHING = 0.3  # posts of weight 1
_EXPONENT = 0.5
_LEAST = 0.3


@dataclass(frozen=True, slots=True)
class Scale:
    """``|log((p / P + a) / (q / Q + a))| ** exponent + least``, or 1 everywhere with ``exponent`` None.

    p, q: the weights of the positive and of the negative posts with an n-gram; P, Q: those of all posts;
    a = 2 x ``smoothing`` / (P + Q), with weights of mean 1.
    """

    positive: float
    negative: float
    n_posts: int
    exponent: float | None = _EXPONENT
    least: float = _LEAST
    smoothing: float = _SMOOTHING

    @classmethod
    def over(cls, labels: NDArray[np.int8], costs: NDArray[np.float64], *, naive_bayes: bool) -> Scale:
        """Of posts with these labels and weights, (n_posts,)."""
        positive = float(costs[labels == 1].sum())
        return cls(positive, float(costs.sum()) - positive, len(labels), _EXPONENT if naive_bayes else None)

    def of(self, masses: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) from ``masses`` (n, 2), the weights of the negative and of the positive posts with each n-gram."""
        if self.exponent is None:
            return np.ones(len(masses))
        a = 2 * self.smoothing / self.n_posts
        ratio = (masses[:, 1] / self.positive + a) / (masses[:, 0] / self.negative + a)
        scale: NDArray[np.float64] = np.abs(np.log(ratio)) ** self.exponent + self.least
        return scale

    def of_one_post(self, labels: NDArray[np.int8], costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n_posts,): the scale of an n-gram that stands in that post alone."""
        return self.of(np.stack([np.where(labels == 1, 0.0, costs), np.where(labels == 1, costs, 0.0)], axis=1))
