"""A judge against its definition, post by post, and its bands against the budget and the first stage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from polyvigil.bundle.layout import CombinationRecord
from polyvigil.config.decide import DecideSpec
from polyvigil.decide.cascade import Cascade, CascadeCounts
from polyvigil.decide.crossfit import assign_folds
from polyvigil.decide.fit_judge import candidates, cross_fitted, fit_judge
from polyvigil.decide.judge import Band, Judge
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import tune
from polyvigil.judge.stage import SecondStage
from polyvigil.metrics import count

BAND = Band(below=1.0, above=0.5, bar=0.3, posts=100, asked=10)


def _world(size: int, seed: int, *, second: float = 0.3) -> tuple[DevScores, np.ndarray]:
    """A first stage, and a second whose noise is ``second``; two languages on different scales, 10% positive."""
    random = np.random.default_rng(seed)
    labels = (random.random(size) < 0.1).astype(np.int8)
    languages = np.where(random.random(size) < 0.6, "en", "ja")
    truth = labels * 2.5 - 2.5
    first = 1 / (1 + np.exp(-(truth - (languages == "ja") + random.normal(0, 1.2, size))))
    judged = 1 / (1 + np.exp(-(truth + random.normal(0, second, size))))
    return DevScores(first, labels, languages), judged


def _policy(posts: DevScores) -> DecisionPolicy:
    spec = DecideSpec(rule="argmax")
    return tune(posts.probabilities, posts.labels, posts.languages.tolist(), spec=spec, dev_fingerprint="")


def _judge(**bands: Band | None) -> Judge:
    return Judge(members=1, at_most=0.1, bands=bands, other=None)


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_decisions_equal_the_definition_post_by_post() -> None:
    posts, second = _world(2000, 1)
    second[::7] = np.nan
    policy = _policy(posts)
    languages = posts.languages.tolist()
    judge = _judge(en=BAND, ja=None)
    cuts = policy.post_thresholds(languages)
    inside = judge.inside(posts.probabilities, cuts, languages)
    both = judge.decide(posts.probabilities, second, cuts, languages)
    flags = policy.flags(both, languages)
    for place, language in enumerate(languages):
        p, q, t = posts.probabilities[place], second[place], cuts[place]
        near = language == "en" and -1.0 <= _logit(p) - _logit(t) <= 0.5
        assert inside[place] == near
        if not near or math.isnan(q):
            assert both[place] == p
            continue
        low, high = _sigmoid(_logit(t) - 1.0), _sigmoid(_logit(t) + 0.5)
        line = t + (high - t) * (q - 0.3) / 0.7 if q >= 0.3 else t - (t - low) * (0.3 - q) / 0.3
        assert both[place] == pytest.approx(line, abs=1e-12)
        assert flags[place] == (q >= 0.3)
    assert 0 < inside.sum() < 2000


def test_the_order_between_below_inside_and_above_stays() -> None:
    """Whatever the judge says, no judged post passes one outside of the band; and inside, its order is the judge's."""
    random = np.random.default_rng(2)
    for _ in range(200):
        band = Band(
            below=float(random.exponential()),
            above=float(random.choice([0, random.exponential()])),
            bar=float(random.choice([random.random() + 1e-9, 1.0, 1e-6])),
            posts=9,
            asked=9,
        )
        cut = float(random.choice([random.random() * 0.98 + 0.01, 1e-6, 1 - 1e-6]))
        first = np.append(random.random(40), cut)
        second = np.append(random.choice([0.0, 1.0, band.bar, *random.random(9)], 40), band.bar)
        cuts, languages = np.full(41, cut), ["en"] * 41
        judge = _judge(en=band)
        inside = judge.inside(first, cuts, languages)
        both = judge.decide(first, second, cuts, languages)
        assert ((both >= 0) & (both <= 1)).all()
        assert np.array_equal((both >= cut)[inside], (second >= band.bar)[inside])
        assert np.array_equal(both[~inside], first[~inside])
        if inside.any() and not inside.all():
            below, above = first[~inside & (first < cut)], first[~inside & (first >= cut)]
            assert below.max(initial=0.0) <= both[inside].min() + 1e-12
            assert both[inside].max() <= above.min(initial=1.0) + 1e-12
        order = np.argsort(second[inside], kind="stable")
        assert (np.diff(both[inside][order]) >= -1e-15).all()


def test_empty_posts_and_unknown_languages() -> None:
    wide = Band(below=30, above=30, bar=0.5, posts=1, asked=1)
    judge = Judge(members=1, at_most=1.0, bands={"en": None}, other=wide)
    inside = judge.inside(np.array([0.0, 0.5, 0.5]), np.full(3, 0.5), ["fa", "fa", "en"])
    assert inside.tolist() == [False, True, False]


@pytest.mark.parametrize("at_most", [0.02, 0.1, 0.5])
def test_the_budget_of_each_language_is_kept(at_most: float) -> None:
    posts, second = _world(4000, 3)
    policy = _policy(posts)
    languages = posts.languages.tolist()
    found = fit_judge(posts, second, policy, at_most=at_most, members=1)
    inside = found.inside(posts.probabilities, policy.post_thresholds(languages), languages)
    for language in ("en", "ja"):
        mine = posts.languages == language
        band = found.bands[language]
        assert band is not None
        assert band.asked == inside[mine].sum() <= at_most * mine.sum()
        assert band.asked > 0.8 * at_most * mine.sum() - 1
    both = cross_fitted(posts, second, policy, at_most=at_most)
    gain = count(posts.labels, policy.flags(both, languages)).f1
    assert gain > count(posts.labels, policy.flags(posts.probabilities, languages)).f1 + 0.02


def test_a_random_judge_has_no_cross_fitted_gain() -> None:
    posts, _ = _world(4000, 4)
    policy = _policy(posts)
    languages = posts.languages.tolist()
    noise = np.random.default_rng(0).random(4000)
    both = cross_fitted(posts, noise, policy, at_most=0.2)
    alone = count(posts.labels, policy.flags(posts.probabilities, languages)).f1
    assert count(posts.labels, policy.flags(both, languages)).f1 <= alone + 0.005


def test_the_fit_depends_on_candidates_only() -> None:
    posts, second = _world(1500, 5)
    policy = _policy(posts)
    chosen = candidates(posts, policy, at_most=0.1)
    for language in ("en", "ja"):
        mine = posts.languages == language
        assert chosen[mine].sum() <= 2 * 0.1 * mine.sum()
    known = np.where(chosen, second, np.nan)
    assert fit_judge(posts, known, policy, at_most=0.1, members=1) == fit_judge(
        posts, second, policy, at_most=0.1, members=1
    )


def test_ties_on_the_first_stage_never_pass_the_budget() -> None:
    posts, second = _world(1000, 6)
    coarse = DevScores(np.round(posts.probabilities, 1), posts.labels, posts.languages)
    policy = _policy(coarse)
    languages = coarse.languages.tolist()
    for at_most in (0.01, 0.05, 0.2):
        found = fit_judge(coarse, second, policy, at_most=at_most, members=1)
        inside = found.inside(coarse.probabilities, policy.post_thresholds(languages), languages)
        for language in ("en", "ja"):
            assert inside[coarse.languages == language].sum() <= at_most * (coarse.languages == language).sum()


def test_few_positives_narrow_the_common_band() -> None:
    posts, second = _world(3000, 7)
    rare = posts.languages.copy()
    rare[:60] = "fr"
    some = DevScores(posts.probabilities, posts.labels, rare)
    policy = _policy(some)
    found = fit_judge(some, second, policy, at_most=0.1, members=1)
    own, common = found.bands["fr"], found.other
    assert own is not None
    assert common is not None
    assert own.bar == common.bar
    assert own.below <= common.below
    assert own.above <= common.above
    assert own.asked <= 6


def test_cross_fitting_uses_other_folds_only() -> None:
    """Other opinions and labels of one fold's groups move no band that this fold is judged by."""
    posts, second = _world(800, 8)
    policy = _policy(posts)
    groups = [f"g{place // 20}" for place in range(800)]
    both = cross_fitted(posts, second, policy, at_most=0.2, groups=groups)
    fold_of = assign_folds(posts, groups=groups, folds=5, random=np.random.default_rng(0))
    cuts = policy.post_thresholds(posts.languages.tolist())
    for fold in range(5):
        mine = fold_of == fold
        assert len({groups[place] for place in np.flatnonzero(mine)} & {groups[p] for p in np.flatnonzero(~mine)}) == 0
        found = fit_judge(posts.where(~mine), second[~mine], policy, at_most=0.2, members=1)
        again = found.decide(posts.probabilities, second, cuts, posts.languages.tolist())
        assert np.array_equal(both[mine], again[mine])


def test_two_stages_are_means_inside_each_stage() -> None:
    judge = _judge(en=Band(below=30, above=30, bar=0.5, posts=1, asked=1))
    record = CombinationRecord(weights=(3.0, 1.0, 2.0), judge=judge)
    combination, second = record.stages(2)
    assert (combination.weights, second.weights, record.second_stage_members) == ((3.0, 1.0), (2.0,), 1)
    first = combination.plain_mean(np.array([[0.2, 0.4], [0.6, 0.8]]))
    assert first == pytest.approx([0.3, 0.5])
    cuts, by_member = np.full(2, 0.5), np.array([[0.9, np.nan]])
    stage = SecondStage(judge, (), second)
    assert stage.decide(first, by_member, cuts, ["en", "en"]) == pytest.approx(
        judge.decide(first, np.array([0.9, np.nan]), cuts, ["en", "en"])
    )
    assert stage.decide(first, by_member, cuts, ["de", "de"]) == pytest.approx(first)


def test_bad_input_is_refused() -> None:
    nothing = CascadeCounts(posts=0, called=0, disagreeing=0, cost=0)
    cascade = Cascade(first=0, band=1, stated=0, learned=nothing, verified=nothing)
    with pytest.raises(ValidationError, match="a cascade or a judge, not both"):
        CombinationRecord(cascade=cascade, judge=_judge(en=BAND))
    for wrong in ({"below": -1.0}, {"bar": 0.0}, {"above": math.inf}, {"more": 1}):
        with pytest.raises(ValidationError):
            Band.model_validate(BAND.model_dump() | wrong)
    again = CombinationRecord(judge=_judge(en=BAND, ja=None))
    assert CombinationRecord.model_validate_json(again.model_dump_json()) == again
