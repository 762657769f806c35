"""Brier score, calibration error and bins against scikit-learn, counting by hand, and worlds with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.evaluation.reliability import Reliability, ReliabilitySlice, reliability


def _world(size: int, seed: int, *, slope: float = 1.0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = random.normal(-2, 1.5, size)
    labels = (random.random(size) < 1 / (1 + np.exp(-(slope * scores + offset)))).astype(np.int8)
    return 1 / (1 + np.exp(-scores)), labels


def _by_hand(p: np.ndarray, labels: np.ndarray) -> tuple[float, list[tuple[int, float, float]]]:
    """ECE and (posts, mean p, share) of each bin, one post at a time."""
    size = len(p)
    wanted = min(10, max(1, size // 20))
    members: dict[int, list[int]] = {}
    for place in range(size):
        below = sum(1 for other in p if other < p[place])
        members.setdefault(below * wanted // size, []).append(place)
    error, bins = 0.0, []
    for _, inside in sorted(members.items()):
        mean = sum(p[i] for i in inside) / len(inside)
        share = sum(int(labels[i]) for i in inside) / len(inside)
        error += len(inside) / size * abs(mean - share)
        bins.append((len(inside), mean, share))
    return error, bins


@pytest.mark.parametrize("size", [1, 2, 19, 40, 57, 205, 400])
@pytest.mark.parametrize("digits", [1, 2, 16])
def test_values_equal_scikit_learn_and_brute_force(size: int, digits: int) -> None:
    p, labels = _world(size, seed=size)
    p = np.round(p, digits)
    result = reliability(p, labels, ["en"] * size)
    part = result.pooled
    assert part.model_copy(update={"name": "en"}) == result.languages[0]
    assert (part.posts, part.positives) == (size, int(labels.sum()))
    assert part.brier == pytest.approx(brier_score_loss(labels, p, pos_label=1))
    ece, bins = _by_hand(p, labels)
    assert part.ece == pytest.approx(ece, abs=1e-12)
    assert [b.posts for b in part.bins] == [b[0] for b in bins]
    assert [b.mean_probability for b in part.bins] == pytest.approx([b[1] for b in bins])
    assert [b.observed for b in part.bins] == pytest.approx([b[2] for b in bins])
    for one in part.bins:
        assert one.observed_interval == share_interval(round(one.observed * one.posts), one.posts)


def test_bins_hold_equal_numbers_and_ties_share_one() -> None:
    labels = np.zeros(200, dtype=np.int8)
    labels[:20] = 1
    assert [b.posts for b in reliability(np.linspace(0, 1, 200), labels, ["en"] * 200).pooled.bins] == [20] * 10
    tied = np.where(np.arange(200) < 130, 0.1, np.linspace(0.2, 0.9, 200))
    assert [b.posts for b in reliability(tied, labels, ["en"] * 200).pooled.bins] == [130, 10, 20, 20, 20]


def test_cadec_stays_out_of_the_pool() -> None:
    p, labels = _world(300, seed=1)
    languages = (["en"] * 100) + (["de"] * 100) + (["de_cadec"] * 100)
    result = reliability(p, labels, languages)
    assert [part.name for part in result.languages] == ["de", "de_cadec", "en"]
    alone = reliability(p[:100], labels[:100], ["en"] * 100)
    assert result.languages[2] == alone.languages[0]
    assert result.pooled == reliability(p[:200], labels[:200], languages[:200]).pooled
    assert result.pooled.posts == 200
    assert reliability(p[200:], labels[200:], languages[200:]).pooled.posts == 100


def test_the_same_in_every_run_and_every_order() -> None:
    p, labels = _world(300, seed=2)
    p = np.round(p, 2)
    languages = np.random.default_rng(0).choice(["en", "ru"], 300).tolist()
    first = reliability(p, labels, languages)
    order = np.random.default_rng(1).permutation(300)
    assert reliability(p[order], labels[order], [languages[place] for place in order]) == first
    assert Reliability.model_validate_json(first.model_dump_json()) == first


def test_only_wrong_p_exceed_chance() -> None:
    p, labels = _world(4000, seed=3)
    right = reliability(p, labels, ["en"] * 4000).pooled
    assert right.ece_interval.low == 0
    assert right.ece == pytest.approx(right.ece_by_chance, abs=0.01)
    assert right.debiased_rms < 0.015
    p, labels = _world(4000, seed=3, offset=1.5)
    wrong = reliability(p, labels, ["en"] * 4000).pooled
    assert wrong.ece_interval.low > 0.1 > 5 * wrong.ece_by_chance
    assert wrong.debiased_rms > wrong.ece


@pytest.mark.parametrize("positives", [20, 30, 45])
def test_debiased_error_takes_off_the_variance_of_the_share(positives: int) -> None:
    labels = (np.arange(100) < positives).astype(np.int8)
    share = positives / 100
    expected = np.sqrt(max(0, (share - 0.3) ** 2 - np.var(labels, ddof=1) / 100))
    found = reliability(np.full(100, 0.3), labels, ["en"] * 100).pooled.debiased_rms
    assert found == pytest.approx(expected)
    assert found < abs(share - 0.3) or found == 0


def _known(size: int, *, slope: float, offset: float) -> tuple[float, float]:
    """Brier score and ECE over ten bins of the whole population."""
    scores = np.sort(np.random.default_rng(0).normal(-2, 1.5, 480_000))
    p, truth = 1 / (1 + np.exp(-scores)), 1 / (1 + np.exp(-(slope * scores + offset)))
    gaps = (p - truth).reshape(min(10, size // 20), -1).mean(axis=1)
    return float(np.mean((p - truth) ** 2 + truth * (1 - truth))), float(np.abs(gaps).mean())


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, 1.0)])
def test_intervals_have_95_percent_coverage(slope: float, offset: float) -> None:
    brier, ece = _known(120, slope=slope, offset=offset)
    held_brier = held_ece = 0
    for seed in range(60):
        p, labels = _world(120, seed=seed, slope=slope, offset=offset)
        part = reliability(p, labels, ["en"] * 120).languages[0]
        held_brier += _holds(part.brier_interval, brier)
        held_ece += _holds(part.ece_interval, ece)
        assert _holds(part.brier_interval, part.brier)
        assert _holds(part.ece_interval, part.ece)
    assert held_brier >= 53
    assert held_ece >= 53


def _holds(interval: Interval, value: float) -> bool:
    return 0 <= interval.low <= value <= interval.high <= 1


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_the_widest_calibration_interval(label: int) -> None:
    labels = np.full(50, label, dtype=np.int8)
    part: ReliabilitySlice = reliability(np.full(50, 0.25), labels, ["fr"] * 50).languages[0]
    assert part.brier == pytest.approx((0.25 - label) ** 2)
    assert part.brier_interval == part.ece_interval == Interval(low=0.0, high=1.0)


def test_pooled_resamples_are_stratified_by_language() -> None:
    """Two languages whose losses are constant: a resample that mixed them would vary."""
    p = np.array([0.1] * 60 + [0.5] * 60)
    labels = np.array([0] * 60 + [0, 1] * 30, dtype=np.int8)
    pooled = reliability(p, labels, ["de"] * 60 + ["en"] * 60).pooled
    assert pooled.brier == pytest.approx((0.01 + 0.25) / 2)
    assert pooled.brier_interval.high - pooled.brier_interval.low < 1e-12


def test_empty_and_unequal_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="0 probabilities, 0 labels, 0 languages"):
        reliability(np.zeros(0), np.zeros(0, dtype=np.int8), [])
    with pytest.raises(ValueError, match="2 probabilities, 1 labels, 1 languages"):
        reliability(np.zeros(2), np.zeros(1, dtype=np.int8), ["en"])
