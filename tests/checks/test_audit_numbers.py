"""The arithmetic of audits against brute-force twins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from polyvigil.checks.audit.association import beyond_correlation, eta_squared, rank_correlation
from polyvigil.checks.audit.gate import Measured, flag_ratio, gate_of
from polyvigil.decide.unlabelled import overlap


def some_scores(seed: int, number: int, *, ties: bool = False) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-random.normal(-1.5, 1.5, number)))
    return np.round(scores, 2) if ties else scores


def slow_logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


@pytest.mark.parametrize("seed", range(20))
def test_eta_squared(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = some_scores(seed, 60, ties=seed % 2 == 0)
    groups: Sequence[str] = random.choice(["de", "en", "ja"], 60).tolist()
    values = [slow_logit(p) for p in scores.tolist()]
    mean = sum(values) / 60
    within = 0.0
    for name in set(groups):
        mine = [value for value, group in zip(values, groups, strict=True) if group == name]
        within += sum((value - sum(mine) / len(mine)) ** 2 for value in mine)
    assert eta_squared(scores, groups) == pytest.approx(1 - within / sum((v - mean) ** 2 for v in values), abs=1e-12)


def test_eta_squared_at_its_ends() -> None:
    assert eta_squared(np.array([0.1, 0.1, 0.9, 0.9]), ["a", "a", "b", "b"]) == 1.0
    assert eta_squared(np.array([0.1, 0.9, 0.1, 0.9]), ["a", "a", "b", "b"]) == pytest.approx(0.0, abs=1e-12)
    assert eta_squared(np.full(4, 0.3), ["a", "a", "b", "b"]) == 0.0
    assert eta_squared(np.empty(0), []) == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_rank_correlation_is_scipys(seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 20, 50).astype(np.float64)
    scores = some_scores(seed, 50, ties=True)
    assert rank_correlation(lengths, scores) == pytest.approx(spearmanr(lengths, scores).statistic, abs=1e-12)
    assert rank_correlation(np.ones(50), scores) == 0.0


def test_a_correlation_exceeds_only_with_its_interval() -> None:
    assert beyond_correlation(0.7, 200, 0.5)
    assert beyond_correlation(-0.7, 200, 0.5)
    assert not beyond_correlation(0.7, 20, 0.5)
    assert beyond_correlation(1.0, 30, 0.5)


def slow_overlap(first: Sequence[float], second: Sequence[float]) -> float:
    shares = []
    for scores in (first, second):
        bins = [0.0] * 28
        for score in scores:
            value = min(max(slow_logit(score), -7.0), 7.0)
            bins[min(int((value + 7) / 0.5), 27)] += 1 / len(scores)
        shares.append(bins)
    return sum(map(min, *shares))


@pytest.mark.parametrize("seed", range(20))
def test_overlap(seed: int) -> None:
    first, second = some_scores(seed, 70), np.append(some_scores(seed + 100, 40), [0.0, 1.0])
    assert overlap(first, second) == pytest.approx(slow_overlap(first.tolist(), second.tolist()), abs=1e-12)
    assert overlap(first, first) == pytest.approx(1.0)


def test_the_ratio_of_flags() -> None:
    old, new = np.arange(3000) < 80, np.arange(3000) < 152
    ratio = flag_ratio(old, new)
    assert ratio.value == pytest.approx(152.5 / 80.5)
    assert 1.5 < ratio.low < ratio.value < ratio.high < 2.4
    assert ratio.beyond(1.5)
    assert flag_ratio(new, old).beyond(1.5)
    assert not ratio.beyond(2.0)


def test_ratios_within_chance_do_not_exceed() -> None:
    flags = np.arange(500) < 20
    same = flag_ratio(flags, flags)
    assert same.value == 1.0
    assert same.low < 1 < same.high
    few = flag_ratio(np.arange(500) < 1, np.isin(np.arange(500), (1, 2)))
    assert few.value > 1.5
    assert not few.beyond(1.5)
    none = flag_ratio(np.zeros(50, dtype=bool), np.zeros(50, dtype=bool))
    assert (none.value, none.beyond(1.5)) == (1.0, False)


@pytest.mark.parametrize("truth", [1.0, 1.9])
def test_ratio_intervals_have_their_coverage(truth: float) -> None:
    """Cells of two decisions drawn 300 times; 95% less what 300 draws may miss."""
    random = np.random.default_rng(3)
    cells = np.array([0.02, 0.01, 0.03 * truth - 0.02, 0.0])
    cells[3] = 1 - cells.sum()
    held = 0
    for counts in random.multinomial(1500, cells, 300):
        old = np.repeat([True, True, False, False], counts)
        new = np.repeat([True, False, True, False], counts)
        ratio = flag_ratio(old, new)
        held += ratio.low <= truth <= ratio.high
    assert 0.92 <= held / 300 <= 0.98


def test_a_gate_names_its_worst_group_and_passes_without_any() -> None:
    places = [Measured(name, figure, beyond, f"{name}: told", "do it") for name, figure, beyond in _PLACES]
    gate = gate_of("some", 0.5, places)
    assert (gate.passed, gate.worst, gate.worst_at, gate.places) == (False, 0.6, "b", 3)
    assert [(finding.code, finding.message, finding.hint) for finding in gate.findings] == [
        ("some", "b: told", "do it")
    ]
    none = gate_of("some", 0.5, [])
    assert (none.passed, none.worst, none.worst_at, none.places) == (True, None, "", 0)


_PLACES = (("a", 0.9, False), ("b", 0.6, True), ("c", 0.1, False))
"""The highest figure is of too few posts to be beyond."""
