"""Paired comparisons against post-by-post resampling, full enumeration, and what must hold of any two systems."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.evaluation.decision_cells import cells_of, randomisation_p, resampled_differences
from polyvigil.evaluation.paired import Paired, System, compare_systems, holm
from polyvigil.metrics import average_precision, count, f1

POSTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5), st.sampled_from(("de", "en", "de_cadec"))),
    min_size=1,
    max_size=30,
)


def _systems(posts: list[tuple[int, int, int, str]]) -> tuple[np.ndarray, list[str], System, System]:
    labels = np.array([post[0] for post in posts], dtype=np.int8)
    first, second = (np.array([post[place] / 5 for post in posts]) for place in (1, 2))
    return labels, [post[3] for post in posts], System(first > 0.5, first), System(second > 0.5, second)


def _random(seed: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random(size) < 0.4).astype(np.int8)
    first = random.random(size) < np.where(labels == 1, 0.7, 0.2)
    return labels, first, np.where(random.random(size) < 0.6, first, random.random(size) < 0.5)


def _f1_difference(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    return count(labels, first).f1 - count(labels, second).f1


def test_cells_give_difference_and_discordant_posts() -> None:
    for seed in range(200):
        labels, first, second = _random(seed, 3 + seed % 20)
        cells = cells_of(labels, first, second, ["de" if n % 3 else "en" for n in range(len(labels))])
        assert cells.posts.sum() == len(labels)
        assert cells.discordant == (first != second).sum()
        assert cells.difference == pytest.approx(_f1_difference(labels, first, second), abs=1e-15)


def test_resampling_cells_equals_weighting_posts() -> None:
    """The Bayesian bootstrap post by post: exponential weights, and half a post more of each decision (Jeffreys)."""
    labels, first, second = _random(3, 60)
    strata = np.array(["de", "en"])[np.arange(60) % 2]
    fast = resampled_differences(
        cells_of(labels, first, second, strata), rounds=20_000, random=np.random.default_rng(0)
    )
    random = np.random.default_rng(1)
    slow = []
    for _ in range(3000):
        tables = np.zeros((2, 3))
        for stratum, label in product(("de", "en"), (0, 1)):
            mine = np.flatnonzero((strata == stratum) & (labels == label))
            weights = np.append(random.exponential(size=len(mine)), random.standard_gamma(0.5, 4))
            weights *= len(mine) / weights.sum()
            for system, (flags, extra) in enumerate(((first, (1, 1, 0, 0)), (second, (1, 0, 1, 0)))):
                flagged = float(weights @ np.append(flags[mine], extra))
                tables[system] += (flagged, 0, len(mine) - flagged) if label else (0, flagged, 0)
        one, other = (float(f1(*table)) for table in tables)
        slow.append(one - other)
    assert fast.mean() == pytest.approx(np.mean(slow), abs=0.006)
    assert fast.std() == pytest.approx(np.std(slow), rel=0.05)
    assert np.quantile(fast, [0.025, 0.975]) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.02)


def test_randomisation_is_near_the_enumeration_of_every_swap() -> None:
    for seed in range(12):
        labels, first, second = _random(100 + seed, 10)
        observed = abs(_f1_difference(labels, first, second))
        hits = 0
        for swaps in product((False, True), repeat=10):
            swap = np.array(swaps)
            one, other = np.where(swap, second, first), np.where(swap, first, second)
            hits += abs(_f1_difference(labels, one, other)) > observed - 1e-9
        cells = cells_of(labels, first, second, ["en"] * 10)
        found = randomisation_p(cells, rounds=20_000, random=np.random.default_rng(0))
        assert found == pytest.approx(hits / 2**10, abs=0.015)


def test_randomisation_is_never_0() -> None:
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [100, 100])
    cells = cells_of(labels, labels == 1, labels == 0, ["en"] * 200)
    assert randomisation_p(cells, rounds=999, random=np.random.default_rng(0)) == pytest.approx(1 / 1000)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))  # Wikipedia's worked example
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()


@given(st.lists(st.integers(1, 40), max_size=6))
def test_holm_rejects_what_stepping_down_rejects(parts: list[int]) -> None:
    """The smallest against level / m, the next against level / (m - 1), and so on until one is too large."""
    p_values = [part / 800 for part in parts]
    adjusted = holm(p_values)
    level = 0.0501
    rejected = set()
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        if p_values[place] > level / (len(p_values) - step):
            break
        rejected.add(place)
    assert {place for place, p_value in enumerate(adjusted) if p_value <= level} == rejected
    assert all(one <= other for one, other in zip(p_values, adjusted, strict=True))


@settings(max_examples=60, deadline=None)
@given(POSTS)
def test_identities_of_any_two_systems(posts: list[tuple[int, int, int, str]]) -> None:
    labels, languages, first, second = _systems(posts)
    paired = compare_systems(labels, languages, first, second, rounds=200, ranking_rounds=50)
    assert [part.name for part in paired.languages] == sorted(set(languages))
    for part in (paired.pooled, *paired.languages):
        assert part.average_precision is not None
        for figure in (part.f1, part.average_precision):
            assert -1 <= figure.low <= figure.difference <= figure.high <= 1
            assert figure.high - figure.low > 0
            assert figure.difference == pytest.approx(figure.first - figure.second, abs=1e-12)
            assert 0 < figure.p_bootstrap <= 1
            if part.positives:
                assert figure.standard_error is not None
                assert figure.detectable == pytest.approx(2.8016 * figure.standard_error, rel=1e-4)
            else:
                assert (figure.low, figure.high, figure.p_bootstrap, figure.p_holm) == (-1.0, 1.0, 1.0, None)
    turned = compare_systems(labels, languages, second, first, rounds=200, ranking_rounds=50)
    assert turned.pooled.f1.difference == pytest.approx(-paired.pooled.f1.difference)
    assert turned.pooled.f1.low == pytest.approx(-paired.pooled.f1.high, abs=1e-12)
    assert turned.pooled.f1.high == pytest.approx(-paired.pooled.f1.low, abs=1e-12)
    for part, other in zip(paired.languages, turned.languages, strict=True):
        assert part.average_precision is not None
        assert other.average_precision is not None
        assert part.average_precision.low == pytest.approx(-other.average_precision.high, abs=1e-12)
        assert part.f1.p_randomisation == other.f1.p_randomisation
        assert part.f1.p_bootstrap == other.f1.p_bootstrap


@settings(max_examples=40, deadline=None)
@given(POSTS)
def test_a_system_against_itself(posts: list[tuple[int, int, int, str]]) -> None:
    labels, languages, system, _ = _systems(posts)
    paired = compare_systems(labels, languages, system, system, rounds=200, ranking_rounds=50)
    for part in (paired.pooled, *paired.languages):
        assert part.average_precision is not None
        for figure in (part.f1, part.average_precision):
            assert figure.difference == 0
            assert figure.p_bootstrap == 1
            assert figure.p_randomisation in (None, 1)
            assert figure.p_holm in (None, 1)
            assert figure.low < 0 < figure.high


def _simulated(seed: int, better: float) -> Paired:
    random = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.array([1, 0], dtype=np.int8), [60, 600]), 2)
    both = random.normal(size=1320)
    first = both + 2.2 * labels + 0.4 * random.normal(size=1320)
    second = both + (2.2 - better) * labels + 0.4 * random.normal(size=1320)
    languages = ["en"] * 660 + ["ja"] * 660
    return compare_systems(labels, languages, System(first > 1.5, first), System(second > 1.5, second))


def test_a_better_system_is_detected() -> None:
    paired = _simulated(1, better=1.0)
    for part in (paired.pooled, *paired.languages):
        assert part.average_precision is not None
        for figure in (part.f1, part.average_precision):
            assert figure.low > 0
            assert figure.p_bootstrap < 0.01
    pooled, language = paired.pooled.f1, paired.languages[0].f1
    assert pooled.p_randomisation is not None
    assert pooled.p_randomisation < 0.01
    assert pooled.detectable is not None
    assert language.detectable is not None
    assert pooled.detectable < language.detectable  # more posts show smaller differences
    assert pooled.p_holm is None
    assert [part.f1.p_holm for part in paired.languages] == list(
        holm([part.f1.p_randomisation or 1.0 for part in paired.languages])
    )
    assert Paired.model_validate_json(paired.model_dump_json()) == paired


def test_languages_without_positives_are_not_corrected() -> None:
    labels, first, second = _random(5, 80)
    without = labels.copy()
    without[60:] = 0
    languages = ["en"] * 60 + ["zh"] * 20
    paired = compare_systems(without, languages, System(first), System(second), rounds=500)
    english, chinese = paired.languages
    assert english.f1.p_holm == english.f1.p_randomisation
    assert (chinese.f1.p_holm, chinese.f1.p_randomisation, chinese.f1.standard_error) == (None, 1.0, None)
    assert chinese.average_precision is None


def test_average_precision_difference_equals_the_metric() -> None:
    labels, languages, first, second = _systems([(n % 2, n % 6, (7 * n) % 5, "en") for n in range(30)])
    figure = compare_systems(labels, languages, first, second).pooled.average_precision
    assert figure is not None
    assert first.probabilities is not None
    assert second.probabilities is not None
    assert figure.first == average_precision(labels, first.probabilities)
    assert figure.second == average_precision(labels, second.probabilities)


def test_two_perfect_rankings_may_still_differ() -> None:
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [20, 200])
    first = np.where(labels == 1, 0.9, 0.1)
    figure = compare_systems(
        labels, ["en"] * 220, System(first > 0.5, first), System(first > 0.5, first - np.arange(220) / 1e4)
    ).pooled.average_precision
    assert figure is not None
    assert (figure.difference, figure.p_bootstrap) == (0.0, 1.0)
    assert figure.high == pytest.approx(-figure.low)
    assert 0.05 < figure.high < 0.2


@pytest.mark.parametrize("wrong", ["flags", "probabilities", "languages"])
def test_shapes_must_agree(wrong: str) -> None:
    labels, first, second = _random(5, 20)
    scores = np.linspace(0, 1, 20)
    systems = System(first, scores), System(second, scores)
    if wrong == "flags":
        systems = System(first[1:], scores), System(second, scores)
    elif wrong == "probabilities":
        systems = System(first, scores), System(second, scores[1:])
    with pytest.raises(ValueError, match=r"20,\) labels, \(19,\) flags or|20 labels, 19 languages"):
        compare_systems(labels, ["en"] * (19 if wrong == "languages" else 20), *systems)
