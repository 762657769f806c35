"""Which posts to read so that the next bundle learns most: near the threshold, and like known ADEs; none twice.

In: posts of one language that nobody has read, their scores, and the texts of known ADEs. Out: which to read: half are
the nearest to the threshold, half the most like a known ADE, without those that say nearly the same as one chosen
before. In a language without a known ADE: some of each band of scores, spaced out (each the one least like those
chosen). benchmarks/learn_picks.py measures it beside other ways; spacing out both halves brought nothing there. The
picks are no sample: they teach, and measure nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from polyvigil.text.normalise import model_texts
from polyvigil.text.shingles import shingle_sets

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
MOST_CANDIDATES = 20_000
"""Posts of a language, nearest to the threshold, among which is chosen."""
CROWD = 4
"""So many candidates for each pick at most: beyond them, posts that say nearly the same are taken too."""
SAME = 0.8
"""Cosine similarity from which on two posts say nearly the same."""
BANDS = ((0.1, 0.5), (0.4, 0.25), (0.5, 0.25))
"""Bands of scores from the top: the share of the posts in each, and of the picks."""
_COLUMNS = 1 << 18


@dataclass(frozen=True)
class LearnPool:
    """Posts of one language that nobody has read."""

    texts: Sequence[str]
    scores: Floats
    """(n_posts,): logits of P less that of the threshold."""
    positives: Sequence[str] = ()
    """Texts of known ADEs of the language."""


def pick_to_learn(pool: LearnPool, n: int) -> Indices:
    """The indices of ``n`` posts, or of all where there are fewer: each once."""
    if n >= len(pool.texts):
        return np.argsort(np.abs(pool.scores), kind="stable")
    vectors = text_vectors([*pool.texts, *pool.positives])
    posts, known = vectors[: len(pool.texts)], vectors[len(pool.texts) :]
    if not pool.positives:
        return _of_bands(posts, pool.scores, n)
    near = _distinct(posts, np.argsort(np.abs(pool.scores), kind="stable"), n - n // 2)
    likeness = np.asarray((posts @ known.T).max(axis=1).todense()).ravel()
    likeness[near] = -np.inf
    alike = np.argsort(-likeness, kind="stable")[: len(pool.texts) - len(near)]
    return np.concatenate([near, _distinct(posts, alike, n // 2)])


def _of_bands(posts: sparse.csr_matrix, scores: Floats, n: int) -> Indices:
    order = np.argsort(-scores, kind="stable")
    ends = np.ceil(np.cumsum([0.0, *(share for share, _ in BANDS)]) * len(order)).astype(int)
    bands = [order[start:end] for start, end in pairwise(ends.tolist())]
    numbers = [round(part * n) for _, part in BANDS[1:]]
    chosen = [spaced_out(posts, band, k) for band, k in zip(bands, [n - sum(numbers), *numbers], strict=True)]
    picks = np.concatenate(chosen)
    rest = order[~np.isin(order, picks)]  # of a band with too few posts
    return np.concatenate([picks, rest[: n - len(picks)]])


def _distinct(posts: sparse.csr_matrix, order: Indices, n: int) -> Indices:
    """``n`` of the candidates, from the first on: each the one whose nearest chosen one is farthest (Gonzalez)."""
    some = posts[order[: CROWD * n]]
    chosen: list[int] = []
    is_new = np.ones(some.shape[0], dtype=bool)
    while len(chosen) < n and is_new.any():
        chosen.append(int(is_new.argmax()))
        is_new &= _similarities(some, chosen[-1]) < SAME
        is_new[chosen[-1]] = False
    remaining = np.setdiff1d(np.arange(some.shape[0]), chosen)
    return order[np.array([*chosen, *remaining[: n - len(chosen)]], dtype=np.int64)]


def spaced_out(posts: sparse.csr_matrix, candidates: Indices, n: int) -> Indices:
    """``n`` of the candidates, from the first on: each the one whose nearest chosen one is farthest (Gonzalez 1985)."""
    if n >= len(candidates) or not n:
        return candidates[:n]
    some = posts[candidates]
    chosen = [0]
    nearest = _similarities(some, 0)
    while len(chosen) < n:
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, _similarities(some, chosen[-1]))
    return candidates[chosen]


def _similarities(vectors: sparse.csr_matrix, row: int) -> Floats:
    result: Floats = np.asarray((vectors @ vectors[row].T).todense()).ravel()
    return result


def text_vectors(texts: Sequence[str]) -> sparse.csr_matrix:
    """The letter runs of each text (text.shingles), hashed, rare ones heavier, of length 1: (n_texts, 2^18)."""
    sets = shingle_sets(list(model_texts(texts)))
    columns = (sets.hashes % np.uint64(_COLUMNS)).astype(np.int64)
    matrix = sparse.csr_matrix((np.ones(len(columns)), columns, sets.starts), shape=(len(texts), _COLUMNS))
    matrix.sum_duplicates()
    seen = np.bincount(matrix.indices, minlength=_COLUMNS)
    matrix.data = np.log((1 + len(texts)) / (1 + seen))[matrix.indices] + 1
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / lengths) @ matrix)
