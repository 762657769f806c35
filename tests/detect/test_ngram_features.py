"""Sums on the grid: what weight x TF-IDF gives, whatever the order of the n-grams and the rows beside a row."""

from __future__ import annotations

import numpy as np
import pytest

from polyvigil.detect.ngram_features import Counts, logit_terms, term_weights


def _drawn(seed: int, *, rows: int = 40, columns: int = 500) -> tuple[Counts, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    keys = np.sort(draw.choice(rows * columns, size=4_000, replace=False))
    keys = keys[keys // columns != 7]  # a row without n-grams
    counts = Counts(keys // columns, keys % columns, draw.geometric(0.6, size=len(keys)).astype(np.float64))
    return counts, (1 + draw.exponential(3, columns)).astype(np.float32), draw.normal(size=columns).astype(np.float32)


@pytest.mark.parametrize("sublinear", [True, False])
def test_as_weight_times_tfidf(sublinear: bool) -> None:
    counts, idf, weights = _drawn(1)
    sums, terms = logit_terms(counts, idf, weights, sublinear=sublinear, n_rows=40)
    expected = term_weights(counts, idf, sublinear=sublinear, n_rows=40) * weights[counts.columns]
    assert terms == pytest.approx(expected, abs=1e-7)
    for row in range(40):
        assert sums[row] == pytest.approx(expected[counts.rows == row].sum(), abs=1e-7)
    assert sums[7] == 0.0


def test_sums_are_bit_equal_in_any_order() -> None:
    counts, idf, weights = _drawn(2)
    whole, _ = logit_terms(counts, idf, weights, sublinear=True, n_rows=40)
    draw = np.random.default_rng(3)
    for _ in range(20):
        order = draw.permutation(len(counts.rows))
        mixed = Counts(counts.rows[order], counts.columns[order], counts.counts[order])
        assert np.array_equal(logit_terms(mixed, idf, weights, sublinear=True, n_rows=40)[0], whole)
    for row in range(40):
        own = counts.rows == row
        alone = Counts(np.zeros(own.sum(), dtype=np.int64), counts.columns[own], counts.counts[own])
        assert logit_terms(alone, idf, weights, sublinear=True, n_rows=1)[0] == whole[row]


def test_a_text_without_ngrams_scores_0() -> None:
    none = Counts(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    sums, terms = logit_terms(none, np.ones(3, np.float32), np.ones(3, np.float32), sublinear=True, n_rows=2)
    assert sums.tolist() == [0.0, 0.0]
    assert len(terms) == 0
