"""A cascade against its definition, post by post, and its band against every other band."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.cascade import Cascade, CascadeCounts, distance, fit_cascade, smallest_band
from polyvigil.decide.combine import Combination
from polyvigil.decide.crossfit import assign_folds
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import tune

NOTHING = CascadeCounts(posts=0, called=0, disagreeing=0, cost=0)


def _world(size: int, seed: int) -> tuple[np.ndarray, DevScores]:
    """Three members that share most of what they know; two languages on different scales, 10% positive."""
    random = np.random.default_rng(seed)
    labels = (random.random(size) < 0.1).astype(np.int8)
    languages = np.where(random.random(size) < 0.5, "en", "ja")
    shared = labels * 2.5 - 2.5 - (languages == "ja") + random.normal(0, 1, size)
    by_member = 1 / (1 + np.exp(-(shared + random.normal(0, 0.4, (3, size)))))
    return by_member, DevScores(by_member.mean(axis=0), labels, languages)


def _policy(posts: DevScores) -> DecisionPolicy:
    spec = DecideSpec(rule="argmax")
    return tune(posts.probabilities, posts.labels, posts.languages.tolist(), spec=spec, dev_fingerprint="")


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_the_band_is_the_smallest_that_keeps_the_limit() -> None:
    random = np.random.default_rng(1)
    for _ in range(300):
        size = int(random.integers(1, 40))
        apart = np.round(random.exponential(1, size), 1)  # with ties
        other = random.random(size) < 0.4
        stated = float(random.choice([0.0, 0.05, 0.1, 0.25, 0.5]))
        found = smallest_band(apart, other, stated=stated)
        candidates = [0.0, *apart.tolist()]
        kept = [band for band in candidates if (other & (apart > band)).sum() <= stated * size + 1e-9]
        assert found == min(kept)


def test_a_share_of_posts_is_rounded_as_decimal() -> None:
    apart, other = np.arange(1000.0), np.arange(1000) >= 994
    for stated, band in ((0.005, 994.0), (0.006, 0.0), (0.0, 999.0), (0.003, 996.0)):
        assert smallest_band(apart, other, stated=stated) == band


def test_decisions_equal_the_definition_post_by_post() -> None:
    by_member, posts = _world(600, 2)
    policy = _policy(posts)
    languages = posts.languages.tolist()
    cascade = Cascade(first=1, band=0.8, stated=0.01, learned=NOTHING, verified=NOTHING)
    called = cascade.second_stage_mask(by_member[1], policy.post_thresholds(languages))
    asked = np.where(called | (np.arange(3)[:, None] == 1), by_member, np.nan)
    flags = policy.flags(Combination().mean(asked), languages)
    for place, language in enumerate(languages):
        threshold = policy.threshold(language).value
        near = abs(_logit(by_member[1, place]) - _logit(threshold)) <= 0.8
        score = by_member[:, place].mean() if near else by_member[1, place]
        assert called[place] == near
        assert flags[place] == (score >= threshold)
    assert 0 < called.sum() < 600


def test_empty_posts_need_no_second_stage() -> None:
    everywhere = Cascade(first=0, band=100, stated=0, learned=NOTHING, verified=NOTHING)
    assert everywhere.second_stage_mask(np.array([0.0, 0.5, 1e-9]), np.full(3, 0.5)).tolist() == [False, True, True]


@pytest.mark.parametrize("costs", [(), (1.0, 4.0, 2.0)])
def test_counts_and_costs_are_what_the_band_does_on_each_half(costs: tuple[float, ...]) -> None:
    by_member, posts = _world(3000, 3)
    policy = _policy(posts)
    languages = posts.languages.tolist()
    found = fit_cascade(by_member, posts, policy, stated=0.01, first=2, costs=costs)
    price = costs or (1.0, 1.0, 1.0)
    half = assign_folds(posts, folds=2, random=np.random.default_rng(0)) == 0
    together = policy.flags(posts.probabilities, languages)
    called = found.second_stage_mask(by_member[2], policy.post_thresholds(languages))
    decided = np.where(called, together, policy.flags(by_member[2], languages))
    for mine, tally in ((half, found.learned), (~half, found.verified)):
        spent = sum(price[2] + called[place] * (price[0] + price[1]) for place in np.flatnonzero(mine))
        assert (tally.posts, tally.called) == (mine.sum(), called[mine].sum())
        assert tally.disagreeing == (decided != together)[mine].sum()
        assert tally.disagreement == tally.disagreeing / tally.posts
        assert tally.cost == pytest.approx(spent / (sum(price) * mine.sum()))
    assert found.learned.disagreement <= 0.01
    assert found.learned.posts + found.verified.posts == 3000
    assert abs(found.learned.posts - 1500) <= 4


def test_first_member_is_the_cheapest() -> None:
    by_member, posts = _world(3000, 4)
    by_member[2] = posts.probabilities  # says what all together say
    policy = _policy(posts)
    found = fit_cascade(by_member, posts, policy, stated=0.005)
    each = [fit_cascade(by_member, posts, policy, stated=0.005, first=place) for place in range(3)]
    assert found == each[2]
    assert found.learned.called == min(one.learned.called for one in each) == 0
    assert fit_cascade(by_member, posts, policy, stated=0.005, costs=(1, 5, 50)).first == 0


def test_the_disagreement_limit_holds_on_new_posts() -> None:
    by_member, posts = _world(20_000, 5)
    policy = _policy(posts)
    found = fit_cascade(by_member, posts, policy, stated=0.005)
    fresh, others = _world(40_000, 6)
    languages = others.languages.tolist()
    called = found.second_stage_mask(fresh[found.first], policy.post_thresholds(languages))
    alone = policy.flags(fresh[found.first], languages)
    otherwise = (alone != policy.flags(others.probabilities, languages)) & ~called
    assert 0.003 < otherwise.mean() < 0.007  # 200 posts of 40,000, give or take 4 standard errors of both halves
    assert 0.003 < found.verified.disagreement < 0.007
    assert called.mean() < 0.2


def test_more_agreement_needs_a_wider_band() -> None:
    by_member, posts = _world(4000, 7)
    policy = _policy(posts)
    found = [fit_cascade(by_member, posts, policy, stated=stated, first=0) for stated in (0.02, 0.01, 0.002, 0.0)]
    bands = [one.band for one in found]
    assert bands == sorted(bands)
    assert bands[0] < bands[-1]
    assert found[-1].learned.disagreeing == 0
    assert found[0].learned.called < found[-1].learned.called


def test_groups_stay_on_one_side() -> None:
    by_member, posts = _world(400, 8)
    policy = _policy(posts)
    groups = [f"g{place // 40}" for place in range(400)]
    found = fit_cascade(by_member, posts, policy, stated=0.01, groups=groups)
    assert found.learned.posts % 40 == found.verified.posts % 40 == 0


def test_bad_input_is_refused() -> None:
    by_member, posts = _world(100, 9)
    policy = _policy(posts)
    for scores, costs in ((by_member[:1], ()), (by_member, (1.0,)), (by_member[:, 1:], ())):
        with pytest.raises(ValueError, match="scores of 100 posts"):
            fit_cascade(scores, posts, policy, stated=0.01, costs=costs)
    for wrong in ({"first": -1}, {"band": -1.0}, {"stated": 1.0}, {"costs": (0.0, 1.0)}, {"band": math.nan}):
        with pytest.raises(ValidationError):
            Cascade.model_validate(
                {"first": 0, "band": 1.0, "stated": 0.1, "learned": NOTHING, "verified": NOTHING} | wrong
            )


def test_a_distance_reads_both_sides_held_inside() -> None:
    apart = distance(np.array([0.5, 0.0, 1.0, 1e-6]), np.array([0.5, 0.5, 0.5, 1.0]))
    edge = _logit(1 - 1e-6)
    assert apart == pytest.approx([0, edge, edge, 2 * edge])
