"""Audit samples: inclusion probabilities by enumeration, fixed size, independence of languages, groups counted once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.review.sampling import (
    allocation,
    inclusion_probabilities,
    representatives,
    sample_audit,
    systematic_sample,
)

scores = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(scores, st.data())
def test_inclusion_probabilities_sum_to_the_size(values: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(0, len(values)))
    inclusion = inclusion_probabilities(np.array(values), n)
    assert inclusion.sum() == pytest.approx(n)
    assert ((inclusion >= 0) & (inclusion <= 1)).all()


@given(scores, st.data())
def test_inclusion_probabilities_are_those_of_a_search(values: list[float], data: st.DataObject) -> None:
    """The factor c of min(1, c x share) by bisection, as a twin of the closed form."""
    p = np.array(values)
    n = data.draw(st.integers(1, len(values)))
    deviation = np.sqrt(p * (1 - p))
    total = deviation.sum()
    shares = 0.7 * deviation / total + 0.3 / len(p) if total else np.full(len(p), 1 / len(p))
    low, high = 0.0, n / shares.min() + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if np.minimum(1, middle * shares).sum() >= n else (middle, high)
    assert inclusion_probabilities(p, n) == pytest.approx(np.minimum(1, high * shares), abs=1e-9)


def test_three_tenths_are_even() -> None:
    p = np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert inclusion_probabilities(p, 1) == pytest.approx([0.73, *[0.03] * 9])
    assert inclusion_probabilities(p, 1, uniform_share=1) == pytest.approx([0.1] * 10)
    assert inclusion_probabilities(p, 10) == pytest.approx([1.0] * 10)
    assert inclusion_probabilities(p, 0).tolist() == [0.0] * 10


@pytest.mark.parametrize(
    ("n", "uniform_share", "p"), [(3, 0.3, [0.1, 0.2]), (-1, 0.3, [0.1]), (1, 0.0, [0.1]), (1, 0.3, [1.5])]
)
def test_senseless_samples_are_refused(n: int, uniform_share: float, p: list[float]) -> None:
    with pytest.raises(ValueError):
        inclusion_probabilities(np.array(p), n, uniform_share=uniform_share)


@settings(max_examples=200)
@given(scores, st.data())
def test_systematic_sampling_includes_each_post_with_its_probability(values: list[float], data: st.DataObject) -> None:
    """By enumeration: between two neighbouring fractional parts of the cumulated sum every start gives one sample."""
    p = np.array(values)
    inclusion = inclusion_probabilities(p, data.draw(st.integers(1, len(values))))
    order = np.argsort(p, kind="stable")
    order = order[inclusion[order] < 1]
    edges = np.unique(np.concatenate([[0.0], np.cumsum(inclusion[order]) % 1.0, [1.0]]))
    share = np.zeros(len(p))
    for low, high in pairwise(edges):
        sample = systematic_sample(p, inclusion, (low + high) / 2)
        assert sample.sum() == round(inclusion.sum())
        share += sample * (high - low)
    assert share == pytest.approx(inclusion, abs=1e-9)


def test_a_systematic_sample_runs_along_the_scores() -> None:
    p = np.random.default_rng(0).permutation(100) / 1000
    sample = systematic_sample(p, np.full(100, 0.1), 0.35)
    assert np.sort(p[sample]) == pytest.approx(np.arange(3, 103, 10) / 1000)


def test_a_sample_is_equal_by_language_and_independent_of_the_others() -> None:
    random = np.random.default_rng(1)
    p, languages = random.beta(0.3, 3, 400), np.repeat(["de", "en", "ja"], [300, 80, 20])
    sample = sample_audit(p, languages.tolist(), 90, seed=7)
    assert [int(sample.sampled[languages == name].sum()) for name in ("de", "en", "ja")] == [35, 35, 20]
    assert sample.inclusion[languages == "ja"] == pytest.approx(np.ones(20))
    german = languages == "de"
    alone = sample_audit(p[german], languages[german].tolist(), 35, seed=7)
    assert (alone.sampled == sample.sampled[german]).all()
    assert (sample_audit(p, languages.tolist(), 90, seed=8).sampled != sample.sampled).any()


def test_posts_that_say_the_same_are_one_and_a_read_one_takes_its_group_out() -> None:
    p = np.array([0.1, 0.3, 0.2, 0.9, 0.05, 0.4, 0.4])
    groups = np.array([0, 0, 2, 3, 3, 5, 5])
    languages = ["en"] * 7
    assert representatives(p, languages, groups).tolist() == [False, True, True, True, False, True, False]
    frame = np.array([True, True, True, False, True, True, True])  # post 3 is read, and says what post 4 says
    sample = sample_audit(p, languages, 3, seed=0, frame=frame, groups=groups)
    assert np.flatnonzero(sample.sampled).tolist() == [1, 2, 5]
    assert np.flatnonzero(sample.inclusion).tolist() == [1, 2, 5]
    other = sample_audit(p, ["en", "de", *languages[2:]], 4, seed=0, frame=frame, groups=groups)
    assert np.flatnonzero(other.sampled).tolist() == [0, 1, 2, 5], "of one group in two languages each counts"


def test_the_frame_is_left_as_it_was() -> None:
    frame = np.array([True, False])
    sample_audit(np.array([0.1, 0.2]), ["en", "en"], 1, seed=0, frame=frame, groups=np.array([4, 4]) * 0 + [1, 2])
    assert frame.tolist() == [True, False]


@pytest.mark.parametrize(
    ("n", "sizes", "quotas", "expected"),
    [
        (10, {"a": 100, "b": 100, "c": 100}, {}, {"a": 4, "b": 3, "c": 3}),
        (10, {"a": 2, "b": 100, "c": 100}, {}, {"a": 2, "b": 4, "c": 4}),
        (10, {"a": 100, "b": 100, "c": 100}, {"c": 6}, {"a": 2, "b": 2, "c": 6}),
        (10, {"a": 100, "b": 100}, {"a": 5, "b": 5}, {"a": 5, "b": 5}),
        (3, {"a": 100, "b": 100}, {"a": 0}, {"a": 0, "b": 3}),
        (0, {"a": 100}, {}, {"a": 0}),
        (0, {}, {}, {}),
    ],
)
def test_parts_of_the_languages(
    n: int, sizes: dict[str, int], quotas: dict[str, int], expected: dict[str, int]
) -> None:
    assert allocation(n, sizes, quotas) == expected


@pytest.mark.parametrize(
    ("n", "quotas", "message"),
    [
        (10, {"a": 11}, "a quota of 11 for a, which has 5 posts"),
        (10, {"z": 1}, "a quota of 1 for z, which has 0 posts"),
        (3, {"a": 2, "b": 2}, "quotas of 4 posts, and 3 to take"),
        (11, {}, "11 posts to take, and 10 to take them from"),
        (1, {}, "1 posts to take do not give each of 2 languages one"),
    ],
)
def test_parts_that_cannot_be(n: int, quotas: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        allocation(n, {"a": 5, "b": 5}, quotas)
