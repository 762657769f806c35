"""New posts against the dev posts: the differences' intervals by simulation and against a bootstrap over posts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from polyvigil.evaluation import dev_comparison
from polyvigil.evaluation.dev_comparison import (
    Rates,
    compare_with_dev,
    f1_difference,
    macro_f1_difference,
)
from polyvigil.evaluation.intervals import f1_interval
from polyvigil.evaluation.measure import Measured
from polyvigil.evaluation.slices import Outcomes, Slice, slice_of
from polyvigil.metrics import Counts, f1

Pair = tuple[Rates, float]


def _simulated(random: np.random.Generator, *, few: bool, recall: float, false_rate: float) -> Pair:
    """A sample of posts, 2 to 10% of them positive, and its true F1."""
    share = random.uniform(0.02, 0.10)
    posts = int(random.integers(400, 2001))
    positives = int(random.integers(10, 25)) if few else max(round(posts * share), 10)
    negatives = round(positives / share) - positives if few else posts - positives
    tp, fp = int(random.binomial(positives, recall)), int(random.binomial(negatives, false_rate))
    truth = float(f1(positives * recall, negatives * false_rate, positives * (1 - recall)))
    return Rates(tp, fp, positives, negatives), truth


def _pair(random: np.random.Generator, *, few: bool) -> tuple[Pair, Pair]:
    recall, false_rate = random.uniform(0.4, 0.9), random.uniform(0.003, 0.04)
    other = float(np.clip(recall + random.uniform(-0.15, 0.15), 0.05, 0.98)), false_rate * random.uniform(0.6, 1.6)
    return (
        _simulated(random, few=few, recall=recall, false_rate=false_rate),
        _simulated(random, few=few, recall=other[0], false_rate=other[1]),
    )


@pytest.mark.parametrize("few", [False, True])
def test_the_true_difference_is_covered_in_2000_simulations(few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev_comparison, "SAMPLES", 2_000)
    random = np.random.default_rng([31, few])
    covered = covered_macro = 0
    for _ in range(2_000):
        pairs = [_pair(random, few=few) for _ in range(3)]
        (new, truth), (dev, dev_truth) = pairs[0]
        one = f1_difference(new, dev, np.random.default_rng(0))
        covered += one.low <= truth - dev_truth <= one.high
        macro = macro_f1_difference(
            [new for (new, _), _ in pairs], [dev for _, (dev, _) in pairs], np.random.default_rng(0)
        )
        assert macro is not None
        covered_macro += macro.low <= np.mean([new[1] - dev[1] for new, dev in pairs]) <= macro.high
    assert 0.93 <= covered / 2_000 <= 0.97
    assert 0.93 <= covered_macro / 2_000 <= 0.97


def _resampled_f1(rates: Rates, random: np.random.Generator, rounds: int) -> list[float]:
    """The brute-force twin: posts resampled one by one, positives and negatives apart."""
    positives = np.arange(rates.positives) < rates.tp
    negatives = np.arange(rates.negatives) < rates.fp
    values = []
    for _ in range(rounds):
        tp = int(random.choice(positives, rates.positives).sum())
        fp = int(random.choice(negatives, rates.negatives).sum())
        values.append(2 * tp / (rates.positives + tp + fp))
    return values


def test_the_interval_equals_a_two_sample_bootstrap() -> None:
    new, dev = Rates(110, 40, 150, 1850), Rates(90, 55, 120, 1400)
    random = np.random.default_rng(8)
    twin = np.array(_resampled_f1(new, random, 3_000)) - np.array(_resampled_f1(dev, random, 3_000))
    low, high = np.quantile(twin, [0.025, 0.975])
    difference = f1_difference(new, dev, np.random.default_rng(0))
    assert (difference.low, difference.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert difference.difference == pytest.approx(new.f1 - dev.f1)
    for rates, interval in ((new, difference.value_interval), (dev, difference.dev_interval)):
        alone = f1_interval(
            Counts(*map(int, (rates.tp, rates.fp, rates.positives - rates.tp, rates.negatives - rates.fp)))
        )
        assert (interval.low, interval.high) == (
            pytest.approx(alone.low, abs=0.01),
            pytest.approx(alone.high, abs=0.01),
        )


@pytest.mark.parametrize(
    ("new", "dev"), [*product([Rates(0, 0, 5, 90), Rates(5, 0, 5, 90), Rates(0, 9, 3, 9)], repeat=2)]
)
def test_extreme_tables_have_valid_intervals(new: Rates, dev: Rates) -> None:
    difference = f1_difference(new, dev, np.random.default_rng(0))
    assert -1 <= difference.low <= difference.difference <= difference.high <= 1
    assert difference.high - difference.low > 0.1


def _slices(languages: dict[str, tuple[int, int]], *, crossed: bool, seed: int) -> list[Slice]:
    """Slices of languages with (posts, positives); on dev posts four cross-fitted decisions a post."""
    random = np.random.default_rng(seed)
    slices = []
    for name, (posts, positives) in languages.items():
        labels = (np.arange(posts) < positives).astype(np.int8)
        scores = np.clip(random.normal(0.3 + 0.3 * labels, 0.15), 0, 1)
        repeats = np.stack([scores > cut for cut in (0.45, 0.5, 0.5, 0.55)]) if crossed else None
        outcomes = Outcomes(labels, np.full(posts, name), scores > 0.5, scores, repeats)
        slices.append(slice_of(name, np.ones(posts, dtype=bool), outcomes))
    return slices


def test_pooled_and_macro_use_common_languages() -> None:
    new = _slices({"de": (300, 30), "de_cadec": (40, 20), "en": (400, 30), "fa": (90, 9)}, crossed=False, seed=1)
    dev = _slices({"de": (200, 20), "de_cadec": (30, 15), "en": (300, 25), "ja": (90, 9)}, crossed=True, seed=2)
    result = compare_with_dev(new, dev)
    assert result is not None
    assert [part.name for part in result.languages] == ["de", "de_cadec", "en"]
    assert (result.pooled_languages, result.macro_languages) == (("de", "en"), ("de", "en"))
    assert result.without_dev == ("fa",)
    de, _, en = (part for part in new if part.name != "fa")
    old = {part.name: part.cross_fitted for part in dev}
    for part in result.languages:
        crossed = old[part.name]
        assert crossed is not None
        assert (part.precision.dev, part.recall.dev, part.f1.dev) == pytest.approx(
            (crossed.precision, crossed.recall, crossed.f1)
        )
    assert result.pooled is not None
    assert result.macro_f1 is not None
    tp, fp, fn = (getattr(de, name) + getattr(en, name) for name in ("tp", "fp", "fn"))
    assert result.pooled.f1.value == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert result.macro_f1.value == pytest.approx((de.f1 + en.f1) / 2)
    assert (result.pooled.dev_posts, result.pooled.dev_positives) == (500, 45)
    assert compare_with_dev(new, dev) == result


def test_cadec_posts_are_pooled_if_alone() -> None:
    sides = [_slices({"de_cadec": (40, 20)}, crossed=crossed, seed=3) for crossed in (False, True)]
    result = compare_with_dev(*sides)
    assert result is not None
    assert result.pooled_languages == ("de_cadec",)


def test_comparison_needs_cross_fitting_and_positives() -> None:
    new = _slices({"en": (100, 10)}, crossed=False, seed=1)
    assert compare_with_dev(new, _slices({"en": (100, 10)}, crossed=False, seed=2)) is None
    assert compare_with_dev(new, []) is None
    apart = compare_with_dev(new, _slices({"ja": (100, 10)}, crossed=True, seed=2))
    none = compare_with_dev(new, _slices({"en": (100, 0)}, crossed=True, seed=2))
    for result in (apart, none):
        assert result is not None
        assert (result.languages, result.pooled, result.macro_f1) == ((), None, None)
        assert result.without_dev == ("en",)


def test_older_evaluations_give_the_same_counts(dev_measured: Measured) -> None:
    """An older evaluation.json gives it as hits / precision."""
    dev = dev_measured.evaluation.languages
    older = [
        part.model_copy(update={"cross_fitted": part.cross_fitted.model_copy(update={"flagged": None})})
        for part in dev
        if part.cross_fitted
    ]
    new, old = compare_with_dev(dev, dev), compare_with_dev(dev, older)
    assert new is not None
    assert old is not None
    assert [part.f1.low for part in new.languages] == pytest.approx([part.f1.low for part in old.languages], abs=1e-9)
