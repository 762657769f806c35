"""Threshold rules against brute force over every cut, ties and one-class sets included."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.thresholds import PAPER_GRID, Optimum, argmax, paper_grid
from polyvigil.decide.tune import tune
from polyvigil.errors import DataError
from polyvigil.metrics import count


def _case(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    size = int(random.integers(1, 25))
    labels = (random.random(size) < random.random()).astype(np.int8)
    scores = np.round(random.random(size), int(random.integers(0, 4)))
    return scores, labels


def _f1(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    return count(labels, scores >= threshold).f1


def test_argmax_equals_brute_force_on_10000_small_sets() -> None:
    random = np.random.default_rng(3)
    tried = 0
    while tried < 10_000:
        scores, labels = _case(random)
        if not (labels[scores > 0] == 1).any():
            with pytest.raises(ValueError, match="no positive post"):
                argmax(scores, labels)
            continue
        tried += 1
        cut = argmax(scores, labels)
        distinct = sorted(set(scores[scores > 0].tolist()))
        values = {candidate: _f1(scores, labels, candidate) for candidate in distinct}
        best = max(values.values())
        assert abs(cut.value - best) <= 1e-12
        assert abs(_f1(scores, labels, cut.threshold) - best) <= 1e-12
        lowest = next(candidate for candidate, value in values.items() if abs(value - best) <= 1e-12)
        assert 0 < cut.threshold <= lowest  # the lowest cut on ties: more recall for the same F1
        below = [score for score in scores.tolist() if score < lowest]
        assert not below or cut.threshold > max(below)


def test_paper_grid_equals_scikit_learn_on_50_sets() -> None:
    assert len(PAPER_GRID) == 61
    assert PAPER_GRID[0] == 0.20
    assert PAPER_GRID[-1] == 0.80
    released = np.arange(0.20, 0.80, 0.01)  # as the paper's code writes it: 61 values too, the last above 0.80
    assert len(released) == 61
    assert np.abs(PAPER_GRID - released).max() < 1e-15
    random = np.random.default_rng(4)
    for _ in range(50):
        scores, labels = _case(random)
        flags = scores[:, None] >= PAPER_GRID  # one column a threshold, and so one call for all 61
        figures = f1_score(np.repeat(labels[:, None], 61, axis=1), flags, average=None, zero_division=0)
        cut = paper_grid(scores, labels)
        assert cut.value == pytest.approx(max(figures), abs=1e-12)
        assert cut.threshold == (PAPER_GRID[int(np.argmax(figures))] if max(figures) > 0 else 0.5)


def test_paper_grid_reaches_080() -> None:
    scores = np.array([0.85] * 10 + [0.795] * 60)
    labels = np.array([1] * 10 + [0] * 60, dtype=np.int8)
    cut = paper_grid(scores, labels)
    assert (cut.threshold, cut.value, cut.tp, cut.flagged) == (0.80, 1.0, 10.0, 10.0)


def test_paper_grid_is_05_where_no_threshold_flags_a_positive() -> None:
    labels = np.array([1, 1, 0, 0], dtype=np.int8)
    assert paper_grid(np.array([0.1, 0.19, 0.05, 0.6]), labels) == Optimum(0.5, 0.0, tp=0.0, flagged=1.0)
    policy = tune(
        np.array([0.1, 0.19, 0.05, 0.6]), labels, ["en"] * 4, spec=DecideSpec(rule="paper-grid"), dev_fingerprint=""
    )
    assert policy.thresholds["en"].value == 0.5
    assert not any("edge" in warning for warning in policy.thresholds["en"].warnings)


def test_neighbouring_floats_are_distinguished() -> None:
    high = 0.3
    low = float(np.nextafter(high, 0))
    scores, labels = np.array([high, low, low]), np.array([1, 0, 0], dtype=np.int8)
    assert _f1(scores, labels, argmax(scores, labels).threshold) == 1.0


def test_policy_tunes_each_language_and_falls_back_to_the_mean() -> None:
    scores = np.array([0.9, 0.2, 0.6, 0.1, 0.5, 0.5])
    labels = np.array([1, 0, 1, 0, 0, 0], dtype=np.int8)
    languages = ["en", "en", "ja", "ja", "zh", "zh"]
    policy = tune(scores, labels, languages, spec=DecideSpec(rule="argmax"), dev_fingerprint="x")
    assert policy.thresholds["en"].value == pytest.approx(0.55)
    assert policy.thresholds["ja"].value == pytest.approx(0.35)
    assert policy.thresholds["en"].source == "own"
    assert policy.thresholds["zh"].source == "pooled"  # no positive: its own posts say nothing about a threshold
    assert policy.fallback.value == pytest.approx(0.45)
    assert policy.threshold("fa").source == "fallback"
    flags = policy.flags(np.array([0.5, 0.5, 0.45]), ["en", "ja", "fa"])
    assert flags.tolist() == [False, True, True]
    assert DecisionPolicy.model_validate_json(policy.model_dump_json()) == policy


def test_cadec_thresholds_stay_out_of_the_fallback() -> None:
    scores = np.array([0.9, 0.2, 0.3, 0.1])
    labels = np.array([1, 0, 1, 0], dtype=np.int8)
    policy = tune(scores, labels, ["de", "de", "de_cadec", "de_cadec"], spec=DecideSpec(), dev_fingerprint="x")
    assert policy.fallback.value == policy.thresholds["de"].value


def test_a_score_of_zero_is_never_flagged() -> None:
    scores = np.array([0.0, 0.0, 0.4])
    labels = np.array([1, 1, 1], dtype=np.int8)
    cut = argmax(scores, labels)
    assert 0 < cut.threshold <= 0.4


@pytest.mark.parametrize("label", [0, 1])
def test_dev_posts_of_one_class_are_refused(label: int) -> None:
    labels = np.full(4, label, dtype=np.int8)
    with pytest.raises(DataError, match="thresholds need both classes"):
        tune(np.full(4, 0.5), labels, ["en"] * 4, spec=DecideSpec(), dev_fingerprint="x")
