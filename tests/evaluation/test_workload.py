"""The reader's figures against counting post by post, and what holds of them for any posts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.evaluation import workload as workload_module
from polyvigil.evaluation.intervals import share_interval
from polyvigil.evaluation.workload import Curves, Workload, posts_per_ade, predictive_value, sample_curves, workload
from polyvigil.metrics import Counts, count

POSTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=1, max_size=30)


def _arrays(posts: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([post[0] for post in posts], dtype=np.int8), np.array([post[1] / 6 for post in posts])


def _recall_by_reading(labels: np.ndarray, scores: np.ndarray, budget: int) -> float:
    """Read down the ranking; of the posts with the score at which the budget ends, the share that fits."""
    left, found = float(budget), 0.0
    for score in sorted(set(scores.tolist()), reverse=True):
        tied = scores == score
        fits = min(left, float(tied.sum())) / tied.sum()
        found += fits * labels[tied].sum()
        left -= fits * tied.sum()
    return found / labels.sum()


def _posts_to_read(labels: np.ndarray, scores: np.ndarray, recall: float) -> int:
    read = 0
    found = 0
    for score in sorted(set(scores.tolist()), reverse=True):
        read += int((scores == score).sum())
        found += int(labels[scores == score].sum())
        if found / labels.sum() > recall - 1e-9:
            break
    return read


@settings(max_examples=50, deadline=None)
@given(POSTS, st.integers(1, 35), st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
def test_reading_down_the_ranking(posts: list[tuple[int, int]], budget: int, recall: float) -> None:
    labels, scores = _arrays(posts)
    part = workload(labels, scores, scores > 0.5, ["en"] * len(labels), budgets=(budget,), recalls=(recall,)).languages[
        0
    ]
    at_budget, reading = part.budgets[0], part.reading[0]
    assert 0 <= at_budget.interval.low <= at_budget.recall <= at_budget.interval.high <= 1
    assert 0 <= reading.interval.low <= reading.share <= reading.interval.high <= 1
    if part.positives:
        assert at_budget.recall == pytest.approx(_recall_by_reading(labels, scores, budget))
        assert reading.posts == _posts_to_read(labels, scores, recall)
        assert reading.share == pytest.approx(reading.posts / len(labels))
        assert at_budget.interval.low == 1.0 or budget < len(labels)  # all read, all found
        certain = budget >= len(labels) or labels.all()  # or each post read is an ADE
        assert at_budget.interval.high > at_budget.interval.low or certain
    else:
        assert (at_budget.recall, at_budget.interval.high) == (0.0, 1.0)
        assert (reading.posts, reading.interval.low, reading.interval.high) == (len(labels), 0.0, 1.0)


@settings(max_examples=80, deadline=None)
@given(*[st.integers(0, 40)] * 4, st.floats(0.001, 0.999))
def test_values_of_a_table(tp: int, fp: int, fn: int, tn: int, prevalence: float) -> None:
    counts = Counts(tp, fp, fn, tn)
    reading = posts_per_ade(counts)
    assert reading.low >= 1
    if tp:
        assert reading.value == pytest.approx((tp + fp) / tp)
        assert reading.high is not None
        assert reading.value is not None
        assert reading.low <= reading.value <= reading.high
    else:
        assert (reading.value, reading.high) == (None, None)
    at_prevalence = predictive_value(counts, prevalence=prevalence)
    assert 0 <= at_prevalence.interval.low <= at_prevalence.value <= at_prevalence.interval.high <= 1
    assert at_prevalence.interval.low < at_prevalence.interval.high


def test_precision_is_unchanged_at_the_same_prevalence() -> None:
    counts = Counts(30, 10, 20, 940)
    same = predictive_value(counts, prevalence=0.05)
    assert same.value == pytest.approx(counts.precision)
    rarer = predictive_value(counts, prevalence=0.005)
    by_hand = 0.005 * 0.6 / (0.005 * 0.6 + 0.995 * 10 / 950)
    assert rarer.value == pytest.approx(by_hand)
    assert rarer.interval.low < by_hand < rarer.interval.high < same.interval.low


def test_one_class_has_no_predictive_value() -> None:
    for counts in (Counts(0, 3, 0, 7), Counts(5, 0, 2, 0)):
        interval = predictive_value(counts, prevalence=0.1).interval
        assert (interval.low, interval.high) == (0.0, 1.0)


def test_curves_match_order_statistics() -> None:
    """Of 9 positives the k-th from the top has Beta(k, 10 - k) of all above it; 3 of 20 negatives: Beta(3.5, 17.5)."""
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [9, 20])
    scores = np.append(np.linspace(0.9, 0.5, 9), np.append([0.52] * 3, [0.1] * 17))
    curves = sample_curves(labels, scores, rounds=20_000, random=np.random.default_rng(0))
    assert curves.recall.shape == curves.false_rate.shape == (20_000, 11)
    assert (curves.recall[:, 0] == 0).all()
    assert curves.recall[:, -1] == pytest.approx(1)
    for k in range(1, 10):
        assert curves.recall[:, k].mean() == pytest.approx(k / 10, abs=0.006)
        assert curves.recall[:, k].std() == pytest.approx(math.sqrt(k * (10 - k) / (100 * 11)), rel=0.04)
    assert curves.false_rate[:, 8].mean() == pytest.approx(0.5 / 21, abs=0.003)
    assert curves.false_rate[:, 9].mean() == pytest.approx(3.5 / 21, abs=0.005)
    assert curves.false_rate[:, 9].std() == pytest.approx(math.sqrt(3.5 * 17.5 / (21**2 * 22)), rel=0.04)


def test_curves_drawn_row_by_row_are_those_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit, and so are the crossings."""
    labels = (np.random.default_rng(2).random(300) < 0.3).astype(np.int8)
    scores = np.random.default_rng(3).random(300)

    def sample() -> Curves:
        return sample_curves(labels, scores, rounds=50, random=np.random.default_rng(1))

    one = sample()
    recall_after, read_for = one.recall_after(60), one.read_for(0.8)
    assert len(recall_after) == len(read_for) == 50
    for rows in (1, 7, 1000):
        monkeypatch.setattr(workload_module, "_ROWS_PER_CHUNK", rows)
        again = sample()
        assert (again.recall == one.recall).all()
        assert (again.false_rate == one.false_rate).all()
        assert (again.recall_after(60) == recall_after).all()
        assert (again.read_for(0.8) == read_for).all()


def test_crossings_equal_brute_force() -> None:
    random = np.random.default_rng(2)
    labels = (random.random(80) < 0.3).astype(np.int8)
    curves = sample_curves(labels, np.round(random.random(80), 1), rounds=50, random=random)
    read = curves.positives * curves.recall + curves.negatives * curves.false_rate
    pairs = list(zip(read, curves.recall, strict=True))
    for budget in (1, 17, 60):
        expected = [np.interp(budget, x, y) for x, y in pairs]
        assert curves.recall_after(budget) == pytest.approx(expected, abs=1e-9)
    for recall in (0.3, 0.8, 0.95):
        expected = [np.interp(recall, y, x) / 80 for x, y in pairs]
        assert curves.read_for(recall) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="no positives"):
        sample_curves(np.zeros(3, dtype=np.int8), np.zeros(3), rounds=2, random=random)


def test_few_positives_cannot_reach_95_percent_recall() -> None:
    """All 12 positives on top: up to a quarter of all positives may lie below, so perhaps most posts must be read."""
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [12, 400])
    part = workload(labels, np.linspace(1, 0, 412), labels == 1, ["en"] * 412).pooled
    assert part.reading[2].posts == 12
    assert part.reading[2].interval.high > 0.5
    assert part.per_ade.value == 1.0


def test_rows_budgets_and_prevalence() -> None:
    random = np.random.default_rng(4)
    labels = (random.random(300) < 0.2).astype(np.int8)
    scores = np.clip(random.normal(0.3 + 0.3 * labels, 0.15), 0, 1)
    languages = [("de", "en", "de_cadec")[n % 3] for n in range(300)]
    table = workload(labels, scores, scores > 0.5, languages, budgets=(20, 50), prevalence=0.02)
    assert [part.name for part in table.languages] == ["de", "de_cadec", "en"]
    assert (table.pooled.name, table.pooled.posts) == ("pooled", 200)
    assert [figure.recall for figure in table.pooled.reading] == [0.8, 0.9, 0.95]
    german = np.array([name == "de" for name in languages])
    counts = count(labels[german], scores[german] > 0.5)
    assert table.languages[0].per_ade == posts_per_ade(counts)
    assert table.languages[0].predictive_value == predictive_value(counts, prevalence=0.02)
    precision = share_interval(counts.tp, counts.tp + counts.fp)
    assert table.languages[0].per_ade.low == pytest.approx(1 / precision.high)
    assert workload(labels, scores, scores > 0.5, languages).pooled.predictive_value is None
    assert Workload.model_validate_json(table.model_dump_json()) == table


@pytest.mark.parametrize(
    ("budgets", "recalls", "prevalence", "languages", "message"),
    [
        ((0,), (0.8,), None, 2, "a budget must be above 0"),
        ((5,), (1.2,), None, 2, r"a recall in \(0, 1\]"),
        ((5,), (0.8,), 1.0, 2, "prevalence 1.0 is not between 0 and 1"),
        ((5,), (0.8,), None, 3, "not equally many"),
    ],
)
def test_bad_input_is_refused(
    budgets: tuple[int, ...], recalls: tuple[float, ...], prevalence: float | None, languages: int, message: str
) -> None:
    labels, scores = np.array([1, 0], dtype=np.int8), np.array([0.9, 0.1])
    with pytest.raises(ValueError, match=message):
        workload(
            labels,
            scores,
            scores > 0.5,
            ["en"] * languages,
            budgets=budgets,
            recalls=recalls,
            prevalence=prevalence,
        )
