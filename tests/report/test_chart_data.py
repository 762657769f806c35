"""The curves of a report against counting one threshold at a time, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from polyvigil.decide.policy import flagged
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import paper_grid
from polyvigil.metrics import count
from polyvigil.report import charts
from polyvigil.report.chart_data import (
    BINS,
    MOST_LANGUAGES,
    MOST_POINTS,
    THRESHOLDS,
    chart_data,
    f1_at,
    recall_precision,
)
from polyvigil.types import Labels, Probabilities


def _posts(random: np.random.Generator, number: int, *, digits: int) -> tuple[Labels, Probabilities]:
    """Few digits make ties, of scores with one another and with thresholds."""
    labels = (random.random(number) < 0.3).astype(np.int8)
    labels[0] = 1
    return labels, np.clip(random.normal(0.4 + 0.3 * labels, 0.2), 0, 1).round(digits)


@pytest.mark.parametrize("seed", range(200))
def test_f1_at_every_threshold_is_that_of_counting(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, scores = _posts(random, int(random.integers(1, 60)), digits=int(random.integers(1, 4)))
    counted = [count(labels, flagged(scores, float(t))).f1 for t in THRESHOLDS]
    assert f1_at(labels, scores, THRESHOLDS).tolist() == counted


@pytest.mark.parametrize("seed", range(200))
def test_steps_equal_scikit_learns_curve(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, scores = _posts(random, int(random.integers(1, 300)), digits=int(random.integers(1, 6)))
    recall, precision = recall_precision(labels, scores)
    theirs = set(zip(*(side.round(12).tolist() for side in precision_recall_curve(labels, scores)[1::-1]), strict=True))
    assert set(zip(recall.round(12).tolist(), precision.round(12).tolist(), strict=True)) <= theirs
    area = float(np.sum(np.diff(recall, prepend=0) * precision))
    assert area == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_long_curves_are_thinned_and_keep_both_ends() -> None:
    labels, scores = _posts(np.random.default_rng(1), 5000, digits=9)
    whole, thin = (np.stack(recall_precision(labels, scores, most=most)) for most in (5000, MOST_POINTS))
    assert whole.shape[1] > 1000
    assert thin.shape[1] == MOST_POINTS
    assert (thin[:, 0] == whole[:, 0]).all()
    assert (thin[:, -1] == whole[:, -1]).all()
    assert {tuple(point) for point in thin.T} <= {tuple(point) for point in whole.T}


def test_chart_data_of_two_languages() -> None:
    random = np.random.default_rng(2)
    labels, scores = _posts(random, 300, digits=3)
    names = ["en"] * 200 + ["fr"] * 100
    labels[200:] = 0
    dev = DevScores(*_posts(random, 150, digits=3), np.array(["en"] * 150))
    told = chart_data(labels, scores, names, dev=dev)
    english, french = told.languages
    grid = paper_grid(dev.probabilities, dev.labels).threshold
    assert english.grid_threshold == grid
    assert english.grid_f1 == count(labels[:200], flagged(scores[:200], grid)).f1
    for bins, some in ((english.positives, scores[:200][labels[:200] == 1]), (french.negatives, scores[200:])):
        places = np.minimum((some * BINS).astype(int), BINS - 1)
        edges = {place / BINS for place in range(BINS)}
        if not edges & set(some.tolist()):  # on an edge the two roundings may differ
            assert bins == tuple(np.bincount(places, minlength=BINS).tolist())
        assert sum(bins) == len(some)
    assert (french.recall, french.precision, french.f1, french.grid_threshold) == ((), (), (), None)


def test_languages_with_few_positives_have_no_chart() -> None:
    names = [f"x{number:02d}" for number in range(30)] * 4
    labels = np.array([int(place % 30 >= 6) for place in range(120)], dtype=np.int8)
    dev = DevScores(np.empty(0), np.empty(0, dtype=np.int8), np.empty(0, dtype=np.str_))
    told = chart_data(labels, np.full(120, 0.5), names, dev=dev)
    assert [picture.name for picture in told.languages] == [f"x{number:02d}" for number in range(6, 30)]
    assert len(told.languages) == MOST_LANGUAGES
    assert told.left_out == ("x00", "x01", "x02", "x03", "x04", "x05")


def test_chart_coordinates_match_the_values() -> None:
    assert (charts.across(0), charts.across(1), charts.down(0), charts.down(1)) == ("30", "232", "146", "10")
    assert charts.polyline((0.0, 0.5), (1.0, 0.25)) == "M30 10L131 112"
    assert charts.steps((0.5, 1.0), (1.0, 0.5)) == "M30 10H131V78H232"
    assert charts.bars((0, 2), upward=True) == "M131.6 78v-68h99.8v68z"
    assert charts.bars((1, 4), upward=False) == "M30.6 78v17h99.8v-17zM131.6 78v68h99.8v-68z"
    assert charts.bars((0, 0), upward=True) == ""
    assert [charts.epoch_position(place, 3) for place in range(3)] == [0.0, 0.5, 1.0]
    assert charts.epoch_position(0, 1) == 0.5
