"""Fit a stacked detector: the base is asked about train posts that it did not learn from.

A model is surer of its own training posts than of any others, so coefficients fitted to those would trust it too much.
Here the train posts are dealt into folds, groups whole; each fold is scored by a base learned from the others, and the
regression is fitted to these out-of-fold probabilities. Then the base is learned once more, from all. Dev probabilities
would be honest too and cost nothing, but the same posts would then fit coefficients and tune thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from polyvigil.config.model import StackedSpec
from polyvigil.data.split import assign_folds
from polyvigil.detect.base import CostEstimate, Detector, Learner
from polyvigil.detect.stacked import Featured, StackedConfig, StackedDetector, design
from polyvigil.errors import DataError
from polyvigil.learn.folds import out_of_fold
from polyvigil.types import LabelledPost, Post, Probabilities

_TOLERANCE = 1e-8


@dataclass(frozen=True, slots=True)
class StackedLearner:
    """Learner of ``StackedDetector``.

    ``base`` makes the base's learner for a fold (``fold-0``, ``fold-1`` ...) or for all posts (``all``): each keeps its
    checkpoints apart. ``further`` learns from no posts. ``log`` receives a line for each fold as it begins.
    """

    spec: StackedSpec
    base: Callable[[str], Learner[Detector]]
    further: Learner[Featured]
    _: KW_ONLY
    log: Callable[[str], None] = lambda _: None

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> StackedDetector:
        """Fit on ``train``; ``dev`` is for the base alone, which may choose its epoch by it.

        Deterministic as far as the base is. Raises DataError (posts of one class), SplitError (too few groups of posts
        for the folds), and what the two learners raise.
        """
        labels = np.array([item.label for item in train], dtype=np.int8)
        if len(set(labels.tolist())) < 2:
            raise DataError(
                f"the {len(train)} training posts hold {int(labels.sum())} positives; both classes are needed",
                hint="check which split and which label column was read",
            )
        further = self.further.fit([], [], seed=seed)
        p = self._out_of_fold(train, dev, seed=seed)
        self.log(f"learning the base from all {len(train):,} posts")
        base = self.base("all").fit(train, dev, seed=seed)
        self.log(f"asking for the further features of {len(train):,} posts")
        matrix = design(p, further.features([item.post for item in train]), base_as=self.spec.base_as)
        model = LogisticRegression(C=self.spec.C, tol=_TOLERANCE, max_iter=10_000)
        with threadpool_limits(1):  # sums of several threads differ in their last digits from machine to machine
            model.fit(matrix, labels)
        config = StackedConfig(
            base=self.spec.base.kind,
            further=self.spec.further.kind,
            base_as=self.spec.base_as,
            features=further.feature_names,
            intercept=float(model.intercept_[0]),
            coefficients=tuple(model.coef_[0].tolist()),
        )
        return StackedDetector(base, further, config)

    def estimate_cost(
        self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int
    ) -> CostEstimate | None:
        """The base's, its time ``folds`` + 1 times over; its disk counts all of them (learn.disk). The further
        detector's time is not in it."""
        self.further.estimate_cost([], [], seed=seed)
        estimate = self.base("all").estimate_cost(train, dev, seed=seed)
        if estimate is None:
            return None
        return estimate.model_copy(update={"seconds": (self.spec.folds + 1) * estimate.seconds})

    def _out_of_fold(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> Probabilities:
        """P of each train post by a base that has not learned from it, nor from a post of its group: (n_posts,)."""

        def fit(fold: int, rest: Sequence[LabelledPost]) -> Callable[[Sequence[Post]], Probabilities]:
            self.log(f"fold {fold + 1} of {self.spec.folds}: learning the base from {len(rest):,} posts")
            return self.base(f"fold-{fold}").fit(rest, dev, seed=seed).probabilities

        return out_of_fold(train, assign_folds(train, folds=self.spec.folds, seed=seed), fit)
