"""The linear detector fitted by scikit-learn's liblinear, with every n-gram of every post in memory.

For few posts, and where numba does not run. The model is that of learn.linear_dual; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array, hstack
from threadpoolctl import threadpool_limits

from polyvigil.detect.ngram_features import Counts, NgramSpace, Vocabulary, batches, characters_of, term_weights
from polyvigil.learn.linear_problem import Largest, Problem, Weights, idf_of
from polyvigil.text.hashing import Grams
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Post

_TOLERANCE = 1e-6  # scikit-learn's 1e-4 stops where the order of the features still shows in the fifth digit


def solve(
    posts: Sequence[Post],
    space: NgramSpace,
    problem: Problem,
    *,
    sublinear: bool,
    min_posts: int,
    most_ngrams: int,
    seed: int,
    tolerance: float = _TOLERANCE,
) -> Weights:
    """Fit on the posts; n-grams of fewer than ``min_posts`` are left out, and of more than ``most_ngrams`` those with
    the smallest weights. liblinear's primal solver draws no random numbers."""
    from sklearn.linear_model import LogisticRegression

    blocks = [
        _vectorise(grams, problem, min_posts=min_posts, sublinear=sublinear) for grams in _distinct_grams(posts, space)
    ]
    features = hstack([block.matrix for block in blocks], format="csr") @ diags_array(
        np.concatenate([block.scale for block in blocks])
    )
    separate, shared = np.sqrt(1 - problem.likeness), np.sqrt(problem.likeness)
    if problem.translated.any():
        written = diags_array((~problem.translated).astype(np.float64)) @ features
        translated = diags_array(problem.translated.astype(np.float64)) @ features
        features = hstack([shared * features, separate * written, separate * translated], format="csr")
    model = LogisticRegression(C=1.0, solver="liblinear", tol=tolerance, random_state=seed, max_iter=1000)
    with threadpool_limits(1):  # sums of several threads differ in their last digits from machine to machine
        model.fit(features, problem.labels, sample_weight=problem.costs)
    n_ngrams = sum(len(block.idf) for block in blocks)
    weights = model.coef_[0][:n_ngrams]
    if problem.translated.any():
        weights = shared * weights + separate * model.coef_[0][n_ngrams : 2 * n_ngrams]
    kept, at = Largest(most_ngrams), 0
    for block, is_words in zip(blocks, (True, False), strict=True):
        hashes = block.vocabulary.hashes
        scaled = (weights[at : at + len(hashes)] * block.scale).astype(np.float32)
        kept.add(hashes, np.full(len(hashes), is_words), block.idf, scaled)
        at += len(hashes)
    return kept.weights(intercept=float(model.intercept_[0]))


@dataclass(frozen=True, slots=True)
class _DistinctGrams:
    """The distinct n-grams of each text, text after text: ``hashes`` and ``counts`` (n,), ``lengths`` (n_texts,)."""

    hashes: NDArray[np.uint64]
    counts: NDArray[np.float64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Vectorised:
    """A block of n-grams, their scales, and the TF-IDF of the training posts in it, sparse (n_posts, n_grams)."""

    vocabulary: Vocabulary
    idf: NDArray[np.float32]
    scale: NDArray[np.float64]
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


def _vectorise(grams: _DistinctGrams, problem: Problem, *, min_posts: int, sublinear: bool) -> _Vectorised:
    n_posts = len(grams.lengths)
    hashes, posts_with = np.unique(grams.hashes, return_counts=True)
    kept = posts_with >= min_posts
    vocabulary = Vocabulary.of(hashes[kept])
    idf = idf_of(n_posts, posts_with[kept]).astype(np.float32)
    columns = vocabulary.columns(grams.hashes)
    known = columns >= 0
    rows = np.repeat(np.arange(n_posts), grams.lengths)[known]
    counts = Counts(rows, columns[known], grams.counts[known])
    values = term_weights(counts, idf, sublinear=sublinear, n_rows=n_posts)
    matrix = csr_matrix((values, (rows, counts.columns)), shape=(n_posts, len(idf)))
    masses = np.empty((len(idf), 2))
    for label in (0, 1):
        of_label = np.where(problem.labels == label, problem.costs, 0.0)
        masses[:, label] = np.bincount(counts.columns, of_label[rows], len(idf))
    return _Vectorised(vocabulary, idf, problem.scale.of(masses), matrix)
