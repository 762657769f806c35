"""What was missed: intervals against exact ones, coverage in simulation, sums, and every reason to refuse a value."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import beta, chi2
from tests.evaluation.audited import World, pool, world

from polyvigil.evaluation.audit_estimate import (
    AuditPart,
    combined_days,
    estimate_audit,
    estimate_missed,
    gamma_interval,
    level_of_looks,
    missed_by_curve,
    missed_by_sample,
    missed_of_day,
)

POOL = pool(np.random.default_rng(1))


def simple(positives: int, audited: int, unread: int, *, read: int = 100, true: int = 60) -> AuditPart:
    """A uniform audit of an unread part whose scores are all the same."""
    return AuditPart(
        language="en",
        read=np.full(read, 1.0),
        read_labels=np.repeat([1, 0], [true, read - true]).astype(np.int8),
        frame=np.full(unread, -4.0),
        inclusion=np.full(unread, audited / unread),
        audited=np.arange(unread) < audited,
        audit_labels=np.repeat([1, 0], [positives, audited - positives]).astype(np.int8),
        threshold=0.0,
    )


@pytest.mark.parametrize("positives", [0, 1, 3, 12])
def test_a_uniform_audit_gives_the_exact_poisson_interval(positives: int) -> None:
    interval = missed_by_sample([simple(positives, 200, 10_000)])
    low = chi2.ppf(0.025, 2 * positives) / 2 * 50 if positives else 0.0
    assert interval.low == pytest.approx(max(low, positives))
    assert interval.high == pytest.approx(chi2.ppf(0.975, 2 * positives + 2) / 2 * 50)
    assert interval.at_most == pytest.approx(chi2.ppf(0.95, 2 * positives + 2) / 2 * 50)
    assert interval.value == positives * 50
    if positives == 0:
        assert interval.at_most == pytest.approx(-np.log(0.05) * 50), "the rule of three"
        assert interval.high == pytest.approx(-np.log(0.025) * 50)


@pytest.mark.parametrize("positives", [0, 1, 3, 12])
def test_a_uniform_audit_against_clopper_and_pearson(positives: int) -> None:
    """The Poisson form holds the binomial one, and is wider by little where few posts are ADEs."""
    interval = missed_by_sample([simple(positives, 200, 10_000)])
    low = 10_000 * beta.ppf(0.025, positives, 201 - positives) if positives else 0.0
    high = 10_000 * beta.ppf(0.975, positives + 1, 200 - positives)
    assert interval.low <= max(low, positives) * 1.001
    assert high <= interval.high <= 1.1 * high


def test_no_weights_and_no_miss() -> None:
    assert gamma_interval(np.empty(0), 0.0, tail=0.025) == (0.0, 0.0)


def test_everything_audited_leaves_no_doubt() -> None:
    part = simple(7, 50, 50)
    result = estimate_audit([part], name="en")
    assert result.missed is not None
    assert result.recall is not None
    assert (result.missed.value, result.missed.low, result.missed.high) == (7, 7, 7)
    assert result.recall.value == 60 / 67
    assert result.recall_at_least == 60 / 67
    assert result.remarks == ()


@cache
def worlds(kind: str, prevalence: float) -> tuple[World, ...]:
    random = np.random.default_rng([7, len(kind), int(1000 * prevalence)])
    return tuple(world(random, POOL, kind, prevalence=prevalence, n=200) for _ in range(150))


@pytest.mark.parametrize("prevalence", [0.02, 0.05])
@pytest.mark.parametrize("kind", ["right", "up", "down", "hidden", "blind"])
def test_intervals_and_bounds_cover(kind: str, prevalence: float) -> None:
    runs = worlds(kind, prevalence)
    by_sample = [missed_by_sample([run.part]) for run in runs]
    reported = [estimate_missed([run.part]) for run in runs]
    truth = [run.missed for run in runs]
    held = np.mean([one.low <= x <= one.high for one, x in zip(by_sample, truth, strict=True)])
    bounded = np.mean([one.at_most >= x for one, x in zip(by_sample, truth, strict=True)])
    reported_held = np.mean([one.low <= x <= one.high for one, x in zip(reported, truth, strict=True)])
    assert held >= 0.89
    assert bounded >= 0.91
    assert reported_held >= 0.89
    by_curve = sum(one.method == "curve" for one in reported)
    assert by_curve < 30 if kind == "blind" else by_curve > 100


def test_the_curve_is_narrower_where_scores_inform() -> None:
    runs = worlds("right", 0.02)[:40]
    widths = [
        (b.high - b.low) / (a.high - a.low)
        for a, b in ((missed_by_sample([r.part]), missed_by_curve([r.part])) for r in runs)
    ]
    assert np.median(widths) < 0.95


def test_the_same_input_gives_the_same_estimate() -> None:
    part = worlds("right", 0.05)[0].part
    assert estimate_audit([part], name="en", seed=3) == estimate_audit([part], name="en", seed=3)


def test_days_of_one_bundle_are_one_part() -> None:
    first, second = (run.part for run in worlds("right", 0.05)[:2])
    other = replace(worlds("right", 0.05)[2].part, bundle="new")
    combined = combined_days([first, other, second])
    assert [part.bundle for part in combined] == ["", "new"]
    assert combined[1] is other
    both = combined[0]
    assert both.true_positives == first.true_positives + second.true_positives
    assert len(both.frame) == len(first.frame) + len(second.frame)
    assert both.n_audited == 400
    assert missed_by_sample([both]).value == pytest.approx(
        missed_by_sample([first]).value + missed_by_sample([second]).value
    )
    assert min(first.threshold, second.threshold) < both.threshold < max(first.threshold, second.threshold)


def test_a_sum_of_languages_covers_and_borrows_nothing() -> None:
    random = np.random.default_rng(9)
    held, runs = 0, 80
    for _ in range(runs):
        parts = [
            world(random, POOL, kind, prevalence=prevalence, n=100, size=2500, language=language)
            for kind, prevalence, language in (("right", 0.05, "en"), ("up", 0.03, "ru"))
        ]
        interval = estimate_missed([one.part for one in parts])
        held += interval.low <= sum(one.missed for one in parts) <= interval.high
    assert held / runs >= 0.91


def test_a_day_borrows_the_curve_of_its_bundle() -> None:
    random = np.random.default_rng(10)
    held, runs, widths = 0, 60, []
    for _ in range(runs):
        days = [world(random, POOL, "right", prevalence=0.04, n=60, size=1500) for _ in range(5)]
        whole = combined_days([day.part for day in days])[0]
        interval = missed_of_day(whole, days[-1].part)
        held += interval.low <= days[-1].missed <= interval.high
        alone = missed_by_sample([days[-1].part])
        widths.append((interval.high - interval.low) / (alone.high - alone.low))
    assert held / runs >= 0.9
    assert np.median(widths) < 0.6
    blind = world(random, POOL, "blind", prevalence=0.04, n=60, size=1500).part
    assert missed_of_day(blind, blind).method == "sample"


def test_looks_widen_the_interval() -> None:
    part = worlds("right", 0.05)[1].part
    plain, looked = (estimate_audit([part], name="en", looks=looks) for looks in (1, 10))
    assert plain.recall is not None
    assert looked.recall is not None
    assert looked.level == pytest.approx(0.995)
    assert looked.recall.low < plain.recall.low < plain.recall.high < looked.recall.high
    assert looked.recall_at_least is not None
    assert plain.recall_at_least is not None
    assert looked.recall_at_least < plain.recall_at_least
    with pytest.raises(ValueError):
        level_of_looks(0)


def remarks(part: AuditPart, **options: bool) -> str:
    return " ".join(estimate_audit([part], name="en", **options).remarks)


def test_metrics_follow_from_the_misses() -> None:
    result = estimate_audit([simple(8, 400, 10_000)], name="en")
    assert result.missed is not None
    assert result.recall is not None
    assert result.f1 is not None
    assert result.precision == 0.6
    assert result.missed.value is not None
    assert result.recall.value == pytest.approx(60 / (60 + result.missed.value))
    assert result.recall.low == pytest.approx(60 / (60 + result.missed.high))
    assert result.f1.value == pytest.approx(120 / (100 + 60 + result.missed.value))
    assert result.f1.low == pytest.approx(120 / (100 + 60 + result.missed.high))


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (simple(0, 200, 10_000), "the audit of 200 posts found no ADE"),
        (simple(1, 200, 10_000), "found 1 ADE"),
        (simple(2, 200, 10_000), "found 2 ADEs"),
        (simple(5, 100, 10_000), "100 audited posts carry a bound, not a value"),
        (simple(5, 200, 10_000, read=12, true=9), "only 9 ADEs were found by reading"),
        (simple(3, 200, 10_000, read=2_000, true=200), "the interval of recall is 0.5"),
        (replace(simple(8, 400, 10_000, true=10), is_trained=False), "was not trained on en and its scores say little"),
    ],
)
def test_no_single_value_and_why(part: AuditPart, reason: str) -> None:
    result = estimate_audit([part], name="en")
    assert result.recall is not None
    assert result.f1 is not None
    assert result.recall.value is None
    assert result.f1.value is None
    assert result.recall.low < result.recall.high
    assert result.remarks[0].startswith("No single value is given: ")
    assert reason in result.remarks[0]


def test_what_the_estimate_rests_on_is_said() -> None:
    informed = simple(3, 400, 10_000)
    assert "rests on the audit alone" not in remarks(informed)
    assert "are covered by the interval, not ruled out" in remarks(informed)
    assert "so the scores say little here" in remarks(simple(60, 400, 10_000))
    flat = replace(informed, read=np.full(100, 9.0))
    assert flat.lift >= 8
    assert flat.recalibration.slope < 0.6
    assert "The scores are mis-scaled here" in remarks(flat)
    assert estimate_audit([flat], name="en").method == "sample"


def test_rare_ades_that_one_person_saw_are_not_estimated() -> None:
    rare = simple(4, 400, 10_000)
    result = estimate_audit([rare], name="en", confirmed=False)
    assert (result.recall, result.f1, result.missed, result.recall_at_least, result.method) == (None,) * 5
    assert "read by one person alone" in result.remarks[0]
    assert estimate_audit([simple(0, 400, 10_000)], name="en", confirmed=False).recall_at_least is not None
    assert estimate_audit([simple(100, 400, 1_000)], name="en", confirmed=False).recall is not None


def test_without_an_audit_nothing_is_estimated() -> None:
    part = replace(simple(0, 1, 10), audited=np.zeros(10, dtype=bool), audit_labels=np.empty(0, dtype=np.int8))
    result = estimate_audit([part], name="en")
    assert result.recall is None
    assert result.precision == 0.6
    assert "none of the unread posts of en was audited" in result.remarks[0]
    with pytest.raises(ValueError, match="none of the unread posts of en"):
        missed_by_sample([part])
    assert "there are no posts" in estimate_audit([], name="all").remarks[0]


@pytest.mark.parametrize(
    "change",
    [
        {"read_labels": np.zeros(1, dtype=np.int8)},
        {"inclusion": np.full(5, 0.5)},
        {"audit_labels": np.zeros(3, dtype=np.int8)},
        {"inclusion": np.zeros(10_000)},
    ],
)
def test_arrays_that_do_not_fit(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError):
        replace(simple(3, 200, 10_000), **change)
