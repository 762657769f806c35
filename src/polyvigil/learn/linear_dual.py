"""Weighted logistic regression over rows of n-grams, by dual coordinate descent (Yu, Huang and Lin 2011).

The same model as scikit-learn's liblinear finds, with a number for each post in memory where that has one for each
n-gram of a single post: such an n-gram is moved by its post alone, so its weight is read off the dual variable of that
post once the fit is done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyvigil.learn import linear_kernel as kernel
from polyvigil.learn.linear_problem import Largest, Problem, Weights, idf_of
from polyvigil.learn.linear_rows import Progress, Rows, Texts
from polyvigil.progress import MetricsLog

STOP = 1e-4
"""Epochs end when a post's dual variable moves by less than this share of C, on average."""
MOST_EPOCHS = 40
_WHOLE = 4
"""Every so many epochs all posts are looked at; in the others those that still move."""


def solve(
    texts: Texts,
    rows: Rows,
    problem: Problem,
    *,
    seed: int,
    most_ngrams: int,
    stop: float = STOP,
    progress: Progress = lambda *_: None,
    metrics: MetricsLog = lambda *_: None,
) -> Weights:
    """Fit on ``rows``, then read ``texts`` once more for the n-grams of a single post.

    Of more than ``most_ngrams`` n-grams those with the largest weights are kept. Deterministic: the same posts in the
    same order and the same ``seed`` give the same bytes, wherever the rows are. ``metrics`` gets of each epoch
    ``change``, which ends the fit below ``stop``.
    """
    n_posts, frequency = len(texts), texts.frequency
    columns = rows.columns
    idf, hapax_idf = idf_of(n_posts, columns.n_posts), float(idf_of(n_posts, np.ones(1))[0])
    scales = problem.scale.of(columns.masses)
    hapax_scales = problem.scale.of_one_post(problem.labels, problem.costs)
    inverse, alone, diagonal = (np.empty(2 * n_posts) for _ in range(3))
    for block in rows.store.blocks:
        halves = slice(2 * block.first, 2 * (block.first + block.n_posts))
        kernel.norms(
            rows.store.entries(block), block.ends, idf, scales, rows.hapaxes[halves], hapax_idf,
            hapax_scales[block.first : block.first + block.n_posts], frequency, texts.sublinear,
            inverse[halves], alone[halves], diagonal[halves],
        )  # fmt: skip
    n_domains = 2 if problem.translated.any() else 1  # with one, a column's numbers stand in one cache line
    state = np.zeros((len(columns.hashes), 1 + n_domains))
    state[:, 0] = idf * idf * scales * scales
    bias, dual = np.zeros(1), np.zeros(n_posts)
    signs, domains = np.where(problem.labels == 1, 1.0, -1.0), problem.translated.astype(np.uint8)
    random, steps = np.random.default_rng(seed), np.ones(n_posts)
    for epoch in range(1, MOST_EPOCHS + 1):
        moved, whole = 0.0, epoch % _WHOLE == 0
        for at in random.permutation(len(rows.store.blocks)):
            block = rows.store.blocks[at]
            posts = slice(block.first, block.first + block.n_posts)
            halves = slice(2 * posts.start, 2 * posts.stop)
            moved += kernel.descend(
                rows.store.entries(block), block.ends, random.permutation(block.n_posts), signs[posts],
                problem.costs[posts], domains[posts], problem.likeness, dual[posts], state, inverse[halves],
                alone[halves], diagonal[halves], bias, frequency, texts.sublinear, steps[posts],
                0.0 if whole else stop / 10,
            )  # fmt: skip
        progress(f"fitting, epoch {epoch}", n_posts, n_posts)
        metrics(epoch, {"change": moved / n_posts})
        if whole and moved / n_posts < stop:
            break
    shared = problem.likeness * state[:, 2] if n_domains == 2 else 0.0
    weights = ((state[:, 1] + shared) / idf).astype(np.float32)
    likeness = np.where(problem.translated, problem.likeness, 1.0)
    factors = dual * signs * likeness * hapax_idf * hapax_scales**2
    kept = Largest(most_ngrams)
    kept.add(columns.hashes, columns.is_words, idf.astype(np.float32), weights)
    _add_hapaxes(kept, texts, rows, np.repeat(factors, 2) * inverse, hapax_idf, progress)
    return kept.weights(intercept=float(bias[0]))


def _add_hapaxes(
    kept: Largest, texts: Texts, rows: Rows, factors: NDArray[np.float64], idf: float, progress: Progress
) -> None:
    """The third pass. ``factors`` (2 n_posts,): what a frequency of 1 in a half weighs."""
    if not rows.hapaxes.any():
        return
    for first, hashes, counts, ends in texts.ngrams():
        of_batch = factors[2 * first : 2 * first + len(ends)]
        out, weights = np.empty(len(hashes), dtype=np.uint64), np.empty(len(hashes), dtype=np.float32)
        is_words = np.empty(len(hashes), dtype=bool)
        n_out = kernel.hapax_weights(
            hashes, counts, ends, rows.sketch, rows.keys, rows.ids, rows.new_ids, of_batch, texts.frequency,
            texts.sublinear, kept.smallest, out, weights, is_words,
        )  # fmt: skip
        idfs = np.full(n_out, idf, dtype=np.float32)
        kept.add(out[:n_out].copy(), is_words[:n_out].copy(), idfs, weights[:n_out].copy())
        progress("reading off weights", first + len(ends) // 2, len(texts))
