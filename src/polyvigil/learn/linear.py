"""Fit the linear detector: count n-grams once, weigh them, solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.data.fingerprint import fingerprint
from polyvigil.detect.base import FitRecord
from polyvigil.detect.linear import Block, LinearConfig, LinearDetector
from polyvigil.detect.ngram_features import Counts, NgramSpace, Vocabulary, batches, characters_of, term_weights
from polyvigil.errors import DataError
from polyvigil.learn.balance import language_counts, trained_languages, training_indices, training_weights
from polyvigil.text.hashing import Grams
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import LabelledPost, Post

_TOLERANCE = 1e-6  # scikit-learn's 1e-4 stops where the order of the features still shows in the fifth digit


@dataclass(frozen=True, slots=True)
class LinearLearner:
    """Learner of ``LinearDetector``; deterministic: liblinear's primal solver draws no random numbers."""

    spec: LinearSpec
    balance: BalanceSpec

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
        space = NgramSpace(self.spec.word_ngrams, self.spec.character_ngrams)
        blocks = [
            _vectorise(grams, min_posts=self.spec.min_posts, sublinear=self.spec.sublinear)
            for grams in _distinct_grams(posts, space)
        ]
        indices = training_indices(labels, times=self.balance.oversample)
        model = LogisticRegression(C=self.spec.C, solver="liblinear", tol=_TOLERANCE, random_state=seed)
        weights = training_weights(train, self.balance)
        matrix = hstack([block.matrix for block in blocks], format="csr")
        with threadpool_limits(1):  # sums of several threads differ in their last digits from machine to machine
            model.fit(matrix[indices], labels[indices], sample_weight=weights[indices])
        coefficients = np.split(model.coef_[0].astype(np.float32), [len(blocks[0].idf)])
        words, characters = (
            Block(block.vocabulary, block.idf, w) for block, w in zip(blocks, coefficients, strict=True)
        )
        config = LinearConfig(
            normalisation=NORMALISATION,
            word_ngrams=self.spec.word_ngrams,
            character_ngrams=self.spec.character_ngrams,
            sublinear=self.spec.sublinear,
            intercept=float(model.intercept_[0]),
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


@dataclass(frozen=True, slots=True)
class _DistinctGrams:
    """The distinct n-grams of each text, text after text: ``hashes`` and ``counts`` (n,), ``lengths`` (n_texts,)."""

    hashes: NDArray[np.uint64]
    counts: NDArray[np.float64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Vectorised:
    """A fitted block and the TF-IDF of the training posts in it, sparse (n_posts, n_grams)."""

    vocabulary: Vocabulary
    idf: NDArray[np.float32]
    matrix: csr_matrix


def _distinct_grams(posts: Sequence[Post], space: NgramSpace) -> list[_DistinctGrams]:
    """The word block and the character block of all posts; each text is hashed once."""
    parts: tuple[list[_DistinctGrams], list[_DistinctGrams]] = ([], [])
    for batch in batches(posts):
        for part, grams in zip(parts, space.blocks(characters_of(batch, NORMALISATION)), strict=True):
            part.append(_distinct(grams, n_texts=len(batch)))
    return [
        _DistinctGrams(
            np.concatenate([p.hashes for p in part]),
            np.concatenate([p.counts for p in part]),
            np.concatenate([p.lengths for p in part]),
        )
        for part in parts
    ]


def _distinct(grams: Grams, *, n_texts: int) -> _DistinctGrams:
    order = np.lexsort((grams.hashes, grams.rows))
    hashes, rows = grams.hashes[order], grams.rows[order]
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    first = np.flatnonzero(new)
    counts = np.diff(np.append(first, len(hashes))).astype(np.float64)
    return _DistinctGrams(hashes[first], counts, np.bincount(rows[first], minlength=n_texts))


def _vectorise(grams: _DistinctGrams, *, min_posts: int, sublinear: bool) -> _Vectorised:
    n_posts = len(grams.lengths)
    hashes, posts_with = np.unique(grams.hashes, return_counts=True)
    kept = posts_with >= min_posts
    vocabulary = Vocabulary.of(hashes[kept])
    idf = (np.log((1 + n_posts) / (1 + posts_with[kept])) + 1).astype(np.float32)
    columns = vocabulary.columns(grams.hashes)
    known = columns >= 0
    rows = np.repeat(np.arange(n_posts), grams.lengths)[known]
    counts = Counts(rows, columns[known], grams.counts[known])
    values = term_weights(counts, idf, sublinear=sublinear, n_rows=n_posts)
    matrix = csr_matrix((values, (rows, counts.columns)), shape=(n_posts, len(idf)))
    return _Vectorised(vocabulary, idf, matrix)
