"""Members that count in the languages they know: masks, means, weights and cascades against loops over posts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.cascade import fit_cascade
from polyvigil.decide.combine import Combination, weighted_mean
from polyvigil.decide.coverage import MemberCoverage, coverage_of
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import logit
from polyvigil.decide.tune import tune
from polyvigil.decide.weights import cross_fitted_weights, fitted_weights, greedy_path, mean_weights

COVERAGE = MemberCoverage(languages={"en": (0, 1, 2), "ru": (0, 2), "fr": (1,)}, elsewhere=(1, 2))
LANGUAGES = ["en", "ru", "fr", "ja", "en", "zh"]


def _scores(size: int = 240, seed: int = 0) -> tuple[np.ndarray, DevScores]:
    """Three members of which the first knows nothing of Japanese; English, Russian and Japanese posts."""
    random = np.random.default_rng(seed)
    labels = (np.arange(size) % 6 == 0).astype(np.int8)
    languages = np.array([("en", "ru", "ja")[index % 3 if index % 5 else index % 2] for index in range(size)])
    logits = np.array([labels * 2.0 + random.normal(0, 1, size) for _ in range(3)]) - 2
    logits[0, languages == "ja"] = random.normal(-4, 0.3, (languages == "ja").sum())
    by_member = 1 / (1 + np.exp(-logits))
    return by_member, DevScores(by_member.mean(axis=0), labels, languages)


def test_mask_and_mean_are_those_of_a_loop_over_posts() -> None:
    random = np.random.default_rng(1)
    by_member, weights = random.random((3, len(LANGUAGES))), (0.5, 2.0, 1.0)
    combination = Combination(weights=weights, coverage=COVERAGE)
    mean = combination.mean(combination.counted(by_member, LANGUAGES))
    for post, language in enumerate(LANGUAGES):
        counting = COVERAGE.members(language)
        assert combination.mask(LANGUAGES, members=3)[:, post].tolist() == [index in counting for index in range(3)]
        total = sum(weights[index] for index in counting)
        assert mean[post] == pytest.approx(sum(weights[i] * by_member[i, post] for i in counting) / total, abs=1e-15)
    assert COVERAGE.members("xx") == (1, 2)


@pytest.mark.parametrize("chosen", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_a_subset_counts_where_its_members_do(chosen: tuple[int, ...]) -> None:
    """Where none of them would, all of the subset do."""
    by_member = np.random.default_rng(2).random((3, len(LANGUAGES)))
    mean = Combination(coverage=COVERAGE).mean_of(chosen, by_member, LANGUAGES)
    for post, language in enumerate(LANGUAGES):
        counting = [index for index in chosen if index in COVERAGE.members(language)] or list(chosen)
        assert mean[post] == pytest.approx(by_member[counting, post].mean(), abs=1e-15)


def test_without_differences_there_is_no_coverage() -> None:
    assert coverage_of({"en": (0, 1), "ru": ()}, (), members=2) is None
    assert coverage_of({"en": (0, 1)}, (1,), members=2) == MemberCoverage(languages={"en": (0, 1)}, elsewhere=(1,))
    assert MemberCoverage(languages={"en": (0, 1)}, elsewhere=(1,)).of([1]) is None
    scores = np.random.default_rng(3).random((2, 4))
    assert Combination().counted(scores, ["en"] * 4) is scores


@pytest.mark.parametrize("members", [(), (1, 0), (0, 0), (-1,)])
def test_members_are_ascending_indices(members: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending indices"):
        MemberCoverage(languages={"en": members}, elsewhere=(0,))
    with pytest.raises(ValueError, match="ascending indices"):
        MemberCoverage(languages={}, elsewhere=members)


def test_a_coverage_is_read_back_as_written() -> None:
    combination = Combination(coverage=COVERAGE)
    assert Combination.model_validate_json(combination.model_dump_json()) == combination


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("start", [(), (0, 1, 2)])
def test_greedy_selection_over_known_languages_equals_exhaustive_search(seed: int, start: tuple[int, ...]) -> None:
    """The twin takes the mean of each post's members one post at a time, and scikit-learn's average precision."""
    by_member, posts = _scores(72, seed)
    counted = Combination(coverage=coverage_of({"ja": (1, 2)}, (0, 1, 2), members=3)).counted(
        by_member, posts.languages.tolist()
    )

    def precision(bag: list[int]) -> float:
        mean = [
            np.mean([counted[index, post] for index in bag if not np.isnan(counted[index, post])] or [0.0])
            for post in range(counted.shape[1])
        ]
        return float(average_precision_score(posts.labels, mean))

    bag, precisions = list(start), [precision(list(start))] if start else []
    for _ in range(5):
        tried = [precision([*bag, index]) for index in range(3)]
        bag.append(min(index for index, value in enumerate(tried) if value > max(tried) - 1e-12))
        precisions.append(max(tried))
    best = min(index for index, value in enumerate(precisions) if value > max(precisions) - 1e-12)
    assert greedy_path(counted, posts.labels, rounds=5, start=start) == tuple(bag[: max(len(start), 1) + best])


def test_mean_weights_are_those_of_the_folds_and_leave_no_member_out() -> None:
    by_member, posts = _scores()
    by_member[1] = np.random.default_rng(4).random(by_member.shape[1])  # knows nothing
    assert fitted_weights(by_member, posts)[1] == 0
    weights = mean_weights(by_member, posts)
    folds = [fit for _, fit in cross_fitted_weights(by_member, posts, keep_all=True)]
    assert weights.tolist() == np.mean(folds, axis=0).tolist()
    assert weights.sum() == pytest.approx(1)
    assert 0 < weights[1] < 0.2


def test_weighted_mean_is_of_scores_that_are_there() -> None:
    scores = np.array([[0.2, np.nan, np.nan], [0.6, 0.4, np.nan], [np.nan, 0.9, 0.5]])
    mean = weighted_mean(scores, np.array([1.0, 3.0, 0.0]))
    assert np.allclose(mean, [0.5, 0.4, np.nan], rtol=0, atol=1e-15, equal_nan=True)


def test_a_cascade_calls_the_others_where_its_first_member_does_not_count() -> None:
    by_member, posts = _scores(600)
    combination = Combination(coverage=coverage_of({"ja": (1, 2)}, (0, 1, 2), members=3))
    counted = combination.counted(by_member, posts.languages.tolist())
    together = DevScores(combination.mean(counted), posts.labels, posts.languages)
    languages = posts.languages.tolist()
    policy = tune(together.probabilities, posts.labels, languages, spec=DecideSpec(rule="argmax"), dev_fingerprint="")
    costs = (1.0, 40.0, 20.0)
    cascade = fit_cascade(counted, together, policy, stated=0.02, first=0, costs=costs)
    calls, cost, whole, different = 0, 0.0, 0.0, 0
    for post, language in enumerate(languages):
        known = [index for index in range(3) if not np.isnan(counted[index, post])]
        threshold = policy.threshold(language).value
        near = 0 not in known or abs(logit(counted[:1, post]) - logit(np.array([threshold])))[0] <= cascade.band
        calls += near
        whole += sum(costs[index] for index in known)
        cost += sum(costs[index] for index in known if near or index == 0)
        different += not near and (counted[0, post] >= threshold) != (together.probabilities[post] >= threshold)
    halves = (cascade.learned, cascade.verified)
    assert sum(half.called for half in halves) == calls
    assert sum(half.disagreeing for half in halves) == different
    sizes = [half.cost for half in halves]
    assert min(sizes) < cost / whole < max(sizes)
    mask = cascade.second_stage_mask(counted[0], policy.post_thresholds(languages))
    assert mask[posts.languages == "ja"].all()
    assert not mask.all()
