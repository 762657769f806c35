"""Fit the linear detector: count n-grams once, weigh them, solve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.data.fingerprint import fingerprint
from polyvigil.data.translated import is_translated
from polyvigil.detect.base import FitRecord
from polyvigil.detect.linear import Block, LinearConfig, LinearDetector
from polyvigil.detect.ngram_features import NgramSpace, Vocabulary
from polyvigil.errors import DataError
from polyvigil.learn import linear_exact
from polyvigil.learn.balance import language_counts, trained_languages, training_weights
from polyvigil.learn.linear_problem import Problem, Weights
from polyvigil.learn.linear_scale import Scale
from polyvigil.progress import MetricsLog
from polyvigil.text.language import is_cadec
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import LabelledPost, Labels, Post

WORTH_CHARACTERS = 1 << 20
"""scikit-learn takes two seconds for these; numba half a second to start, and some once on a machine to compile."""


@dataclass(frozen=True, slots=True)
class LinearLearner:
    """Learner of ``LinearDetector``; deterministic. ``progress``: called with what is done and posts of how many;
    ``metrics``: with values of each epoch of the compiled fit (linear_dual)."""

    spec: LinearSpec
    balance: BalanceSpec
    progress: Callable[[str, int, int], None] = lambda *_: None
    metrics: MetricsLog = lambda *_: None

    def estimate_cost(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> None:  # noqa: ARG002
        """None: it takes no steps, and seconds."""
        return

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> LinearDetector:  # noqa: ARG002
        """Fit on ``train``; ``dev`` is not looked at. Raises DataError when ``train`` holds one class only."""
        labels = np.array([item.label for item in train], dtype=np.int8)
        if len(set(labels.tolist())) < 2:
            raise DataError(
                f"the {len(train)} training posts hold {int(labels.sum())} positives; both classes are needed",
                hint="check which split and which label column was read",
            )
        posts = [item.post for item in train]
        weights = self._weights(posts, self._problem(train, labels), seed=seed)
        words, characters = (_block(weights, mask) for mask in (weights.is_words, ~weights.is_words))
        config = LinearConfig(
            normalisation=NORMALISATION,
            word_ngrams=self.spec.word_ngrams,
            character_ngrams=self.spec.character_ngrams,
            skip_words=self.spec.skip_words,
            sublinear=self.spec.sublinear,
            intercept=weights.intercept,
            fit_record=FitRecord(
                seed=seed,
                posts=len(train),
                positives=int(labels.sum()),
                languages=trained_languages(train),
                train_fingerprint=fingerprint(posts),
                counts=language_counts(train),
            ),
        )
        return LinearDetector(config, words, characters)

    def _problem(self, train: Sequence[LabelledPost], labels: Labels) -> Problem:
        """Each positive ``balance.oversample`` times is each with so many times the cost."""
        costs = self.spec.C * training_weights(train, self.balance)
        costs[labels == 1] *= self.balance.oversample
        likeness = self.spec.translated_likeness
        translated = [is_translated(item.post) or is_cadec(item.post.language) for item in train]
        return Problem(
            labels,
            costs,
            translated=np.array(translated, dtype=np.bool_) & (likeness < 1),  # at 1 they are posts as any
            likeness=likeness,
            scale=Scale.over(labels, costs, naive_bayes=self.spec.scale == "naive-bayes"),
        )

    def _weights(self, posts: Sequence[Post], problem: Problem, *, seed: int) -> Weights:
        space = NgramSpace(self.spec.word_ngrams, self.spec.character_ngrams, self.spec.skip_words)
        if sum(len(post.text) for post in posts) >= WORTH_CHARACTERS:
            with suppress(ImportError):
                return self._weights_compiled(posts, space, problem, seed=seed)
        return linear_exact.solve(
            posts,
            space,
            problem,
            sublinear=self.spec.sublinear,
            min_posts=self.spec.min_posts,
            most_ngrams=self.spec.most_ngrams,
            seed=seed,
        )

    def _weights_compiled(self, posts: Sequence[Post], space: NgramSpace, problem: Problem, *, seed: int) -> Weights:
        """Raises ImportError where numba does not run."""
        from polyvigil.learn import linear_rows
        from polyvigil.learn.linear_dual import solve

        texts = linear_rows.Texts(posts, space, self.spec.sublinear)
        store = linear_rows.RowStore(linear_rows.IN_MEMORY)
        try:
            rows = linear_rows.rows_of(
                texts, problem, min_posts=self.spec.min_posts, store=store, progress=self.progress
            )
            return solve(
                texts,
                rows,
                problem,
                seed=seed,
                most_ngrams=self.spec.most_ngrams,
                progress=self.progress,
                metrics=self.metrics,
            )
        finally:
            store.close()


def _block(weights: Weights, mask: NDArray[np.bool_]) -> Block:
    order = np.flatnonzero(mask)
    order = order[np.argsort(weights.hashes[order])]
    return Block(Vocabulary.of(weights.hashes[order]), weights.idf[order], weights.weights[order])
