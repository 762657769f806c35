"""Resampled average precision against resampling post by post; what its interval does where there is little to see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.evaluation import intervals
from polyvigil.evaluation.groups import groups_of
from polyvigil.evaluation.intervals import (
    average_precision_interval,
    entry_ranks,
    f1_interval,
    macro_f1_interval,
    resampled_average_precision,
)
from polyvigil.metrics import Counts, average_precision

LABELS = np.array([1, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0], dtype=np.int8)
SCORES = np.array([0.9, 0.9, 0.7, 0.6, 0.6, 0.5, 0.4, 0.3, 0.3, 0.8, 0.2, 0.1])
STRATA = ["en"] * 6 + ["ja"] * 6


def _by_posts(scores: np.ndarray, strata: list[str], rounds: int) -> np.ndarray:
    """Average precision of resamples drawn post by post within stratum and label."""
    random = np.random.default_rng(8)
    names = np.array(strata)
    cells = [np.flatnonzero((names == name) & (label == LABELS)) for name in sorted(set(strata)) for label in (0, 1)]
    figures = []
    for _ in range(rounds):
        drawn = np.concatenate([random.choice(cell, len(cell)) for cell in cells if len(cell)])
        figures.append(average_precision(LABELS[drawn], scores[drawn]))
    return np.array(figures)


@pytest.mark.parametrize("strata", [["en"] * 12, STRATA], ids=["one stratum", "two strata"])
def test_resampling_cells_equals_resampling_posts(strata: list[str]) -> None:
    fast = resampled_average_precision(LABELS, entry_ranks(LABELS, SCORES)[None], strata, rounds=8000)[:, 0]
    slow = _by_posts(SCORES, strata, 4000)
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.012)
    assert fast.std() == pytest.approx(slow.std(), rel=0.06)
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(fast, share) == pytest.approx(np.quantile(slow, share), abs=0.03)


def test_two_systems_are_measured_on_the_same_resample() -> None:
    other = 1 / (1 + np.exp(-3 * SCORES))  # the same order
    places = np.stack([entry_ranks(LABELS, SCORES), entry_ranks(LABELS, other), entry_ranks(LABELS, -SCORES)])
    drawn = resampled_average_precision(LABELS, places, STRATA, rounds=300)
    assert drawn.shape == (300, 3)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert np.std(drawn[:, 0] - drawn[:, 2]) > 0.05


@pytest.mark.parametrize("systems", [1, 2])
def test_resampling_in_rows_equals_all_at_once(systems: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit: drawn row by row, summed in place; and as written down, copies and all."""
    generator = np.random.default_rng(3)
    labels = (generator.random(900) < 0.2).astype(np.int8)
    ranks = np.stack([entry_ranks(labels, np.round(generator.random(900), 2)) for _ in range(systems)])
    strata = generator.choice(["en", "ja", "de"], 900).tolist()
    at_once = resampled_average_precision(labels, ranks, strata, rounds=600)
    assert (at_once == _as_written_down(labels, ranks, strata, rounds=600)).all()
    monkeypatch.setattr(intervals, "_NUMBERS_SAMPLED", 1000)
    assert (resampled_average_precision(labels, ranks, strata, rounds=600) == at_once).all()


def _as_written_down(labels: np.ndarray, ranks: np.ndarray, strata: list[str], *, rounds: int) -> np.ndarray:
    """250 resamples together, as resampled_average_precision takes them, without a thought of memory."""
    random, width = np.random.default_rng(0), int(ranks.max()) + 1
    cells = [
        (label, (np.array(strata) == name) & (labels == label)) for name in sorted(set(strata)) for label in (0, 1)
    ]
    values = []
    for start in range(0, rounds, 250):
        entering = np.zeros((2, len(ranks), min(250, rounds - start), width))
        for label, mask in cells:
            where, numbers = np.unique(ranks[:, mask], axis=1, return_counts=True)
            sampled = random.multinomial(numbers.sum(), numbers / numbers.sum(), size=entering.shape[2])
            for system, column in enumerate(where):
                for place in range(width):
                    entering[label, system, :, place] += sampled[:, column == place].sum(axis=1)
        cumulative = np.cumsum(entering, axis=-1)
        read = cumulative.sum(axis=0)
        precision = np.divide(cumulative[1], read, out=np.zeros_like(read), where=read > 0)
        values.append((entering[1] * precision).sum(axis=-1).T / np.count_nonzero(labels == 1))
    return np.concatenate(values)


def test_the_identity_resample_gives_the_value() -> None:
    """One post in each cell of stratum and label: every resample is the sample."""
    labels, scores = np.array([1, 0, 1, 0], dtype=np.int8), np.array([0.6, 0.7, 0.9, 0.9])
    drawn = resampled_average_precision(labels, entry_ranks(labels, scores)[None], ["a", "a", "b", "b"], rounds=20)
    assert drawn[:, 0] == pytest.approx(average_precision(labels, scores))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.sampled_from("ab")), min_size=1, max_size=25),
)
def test_the_interval_holds_its_value_and_has_width(posts: list[tuple[int, int, str]]) -> None:
    labels = np.array([label for label, _, _ in posts], dtype=np.int8)
    scores = np.array([score / 6 for _, score, _ in posts])
    interval = average_precision_interval(labels, scores, [name for _, _, name in posts], rounds=100)
    assert 0 <= interval.low <= average_precision(labels, scores) <= interval.high <= 1
    assert interval.high - interval.low > 0.01


def test_a_perfect_ranking_is_less_sure_with_fewer_positives() -> None:
    lows = []
    for positives in (1, 5, 20, 80):
        labels = np.repeat(np.array([1, 0], dtype=np.int8), [positives, 500])
        interval = average_precision_interval(labels, np.where(labels == 1, 0.9, 0.1), rounds=50)
        assert interval.high == 1.0
        lows.append(interval.low)
    assert lows == sorted(lows)
    assert lows[0] < 0.01
    assert 0.90 < lows[2] < 0.95


def test_intervals_with_one_class_are_wide() -> None:
    none = average_precision_interval(np.zeros(5, dtype=np.int8), np.linspace(0, 1, 5))
    assert (none.low, none.high) == (0.0, 1.0)
    only = average_precision_interval(np.ones(5, dtype=np.int8), np.linspace(0, 1, 5))
    assert 0 < only.low < only.high == 1.0
    with pytest.raises(ValueError, match="no positives"):
        resampled_average_precision(np.zeros(2, dtype=np.int8), np.zeros((1, 2), dtype=np.int64))


def test_strata_narrow_the_interval_reproducibly() -> None:
    """Two languages on two scales: how many positives each has is known, so its chance is no part of the interval."""
    random = np.random.default_rng(1)
    labels = np.tile(np.repeat(np.array([1, 0], dtype=np.int8), [15, 60]), 2)
    scores = np.repeat([0.2, 0.7], 75) + np.where(labels == 1, 0.1, 0.0) + random.uniform(0, 0.15, 150)
    pooled = average_precision_interval(labels, scores)
    stratified = average_precision_interval(labels, scores, ["en"] * 75 + ["ja"] * 75)
    assert stratified.high - stratified.low < pooled.high - pooled.low
    assert average_precision_interval(labels, scores) == pooled


def test_macro_f1_of_one_language_is_its_f1() -> None:
    table = Counts(20, 8, 10, 400)
    one, alone = macro_f1_interval([table]), f1_interval(table)
    assert (one.low, one.high) == (pytest.approx(alone.low, abs=0.01), pytest.approx(alone.high, abs=0.01))
    four = macro_f1_interval([table] * 4)
    assert four.low < table.f1 < four.high
    assert (four.high - four.low) == pytest.approx((one.high - one.low) / 2, rel=0.08)


def test_macro_f1_is_wide_with_an_unknown_language() -> None:
    nothing = macro_f1_interval([])
    assert (nothing.low, nothing.high) == (0.0, 1.0)
    half_known = macro_f1_interval([Counts(500, 0, 0, 500), Counts(0, 1, 0, 50)])
    assert half_known.low == pytest.approx(0.5, abs=0.03)
    assert half_known.high == pytest.approx(1.0, abs=0.03)


def test_groups_leave_cadec_out_of_the_pool() -> None:
    groups = groups_of(["ja", "de_cadec", "de"])
    assert groups.pooled.tolist() == [True, False, True]
    assert list(groups.languages) == ["de", "de_cadec", "ja"]
    assert groups_of(["de_cadec"] * 2).pooled.all()
    with pytest.raises(ValueError, match="no posts"):
        groups_of([])
