"""With and without each member: figures by hand, a member of noise named, subsets of any members."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.combine import Combination
from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import tune
from polyvigil.decide.weights import cross_fitted_weights
from polyvigil.evaluation.subsets import ablate_members, member_subsets, weight_gain

SPEC = DecideSpec(rule="argmax")
NAMES = ("a", "b", "noise")
WEIGHTS = Combination(weights=(1.0, 2.0, 1.0))


def _dev(noise: float, size: int = 1500) -> tuple[np.ndarray, DevScores]:
    """Two members that know something, a third that is ``noise`` parts chance; CADEC posts among the others."""
    random = np.random.default_rng(0)
    labels = (random.random(size) < 0.12).astype(np.int8)
    known = labels * 2.5 - 2.5 + random.normal(0, 1, (3, size))
    known[2] = (1 - noise) * known[2] + noise * random.normal(0, 3, size)
    by_member = 1 / (1 + np.exp(-known))
    languages = random.choice(["en", "ja", "de_cadec"], size)
    return by_member, DevScores(by_member.mean(axis=0), labels, languages)


def test_values_are_those_of_the_two_ensembles() -> None:
    by_member, posts = _dev(noise=0.2)
    pooled = posts.languages != "de_cadec"
    found = ablate_members(by_member, posts, WEIGHTS, names=NAMES, spec=SPEC, rounds=200, ranking_rounds=200)
    assert [one.member for one in found] == list(NAMES)
    for one, (mean, rest) in zip(
        found,
        (
            ((1, 2, 1), (0, 2, 1)),
            ((1, 2, 1), (1, 0, 1)),
            ((1, 2, 1), (1, 2, 0)),
        ),
        strict=True,
    ):
        for weights, ap, f1 in (
            (mean, one.average_precision.second, one.f1.second),
            (rest, one.average_precision.first, one.f1.first),
        ):
            scores = np.average(by_member, axis=0, weights=weights)
            flags = cross_fitted_flags(DevScores(scores, posts.labels, posts.languages), spec=SPEC, repeats=1)[0]
            assert ap == pytest.approx(average_precision_score(posts.labels[pooled], scores[pooled]))
            assert f1 == pytest.approx(f1_score(posts.labels[pooled], flags[pooled]))
        assert one.average_precision.low < one.average_precision.difference < one.average_precision.high


def test_a_random_member_lowers_the_metrics() -> None:
    found = ablate_members(*_dev(noise=1.0), Combination(), names=NAMES, spec=SPEC, rounds=500, ranking_rounds=500)
    assert [one.dilutes for one in found] == [(), (), ("AP", "F1")]
    assert found[2].average_precision.low > 0
    assert found[0].average_precision.high < 0
    harmless = ablate_members(*_dev(noise=0.0), Combination(), names=NAMES, spec=SPEC, rounds=500, ranking_rounds=500)
    assert [one.dilutes for one in harmless] == [(), (), ()]


def test_one_member_has_no_ablation() -> None:
    by_member, posts = _dev(noise=0.0)
    assert ablate_members(by_member[:1], posts, Combination(), names=("a",), spec=SPEC) == ()


def test_subsets_are_weighted_and_cross_fitted() -> None:
    by_member, posts = _dev(noise=0.2)
    languages, pooled = posts.languages.tolist(), posts.languages != "de_cadec"
    rows = member_subsets(
        by_member, posts.labels, languages, names=NAMES, seconds=(1, 2, 4), spec=SPEC, combination=WEIGHTS
    )
    assert [row.members for row in rows[:4]] == [("a",), ("b",), ("noise",), ("a", "b")]
    assert len(rows) == 7
    both = rows[3]
    mean = (by_member[0] + 2 * by_member[1]) / 3
    flags = tune(mean, posts.labels, languages, spec=SPEC, dev_fingerprint="").flags(mean, languages)
    crossed = cross_fitted_flags(DevScores(mean, posts.labels, posts.languages), spec=SPEC, repeats=1)[0]
    assert both.seconds == 3
    assert both.same_set_f1 == pytest.approx(f1_score(posts.labels[pooled], flags[pooled]))
    assert both.cross_fitted_f1 == pytest.approx(f1_score(posts.labels[pooled], crossed[pooled]))
    assert np.mean([row.same_set_f1 - (row.cross_fitted_f1 or 0) for row in rows]) > 0


def test_subsets_of_many_members_are_limited() -> None:
    by_member, posts = _dev(noise=0.2, size=300)
    languages = posts.languages.tolist()
    five = member_subsets(
        by_member[[0, 1, 2, 0, 1]], posts.labels, languages, names="abcde", seconds=[0] * 5, spec=SPEC
    )
    assert len(five) == 31
    assert {row.cross_fitted_f1 for row in five} == {None}
    for count in (1, 7):
        places = [0] * count
        names = "abcdefg"[:count]
        assert member_subsets(by_member[places], posts.labels, languages, names=names, seconds=places, spec=SPEC) == ()


def test_the_gain_of_weights_is_the_mean_over_folds() -> None:
    by_member, posts = _dev(noise=1.0)
    pooled = posts.languages != "de_cadec"
    found = weight_gain(by_member, posts, rounds=300)
    each = []
    for held_out, weights in cross_fitted_weights(by_member, posts):
        mine = held_out & pooled
        each.append(
            [
                average_precision_score(posts.labels[mine], scores[mine])
                for scores in (weights @ by_member, by_member.mean(axis=0))
            ]
        )
    fitted, equal = np.mean(each, axis=0)
    assert (found.fitted, found.equal, found.folds) == (pytest.approx(fitted), pytest.approx(equal), 5)
    assert found.gain == pytest.approx(fitted - equal)
    assert found.low > 0  # leaving noise out gains
    negatives = posts.labels == 0
    told = weight_gain(by_member[:, negatives], posts.where(negatives), rounds=50)
    assert (told.folds, told.low, told.high) == (0, -1.0, 1.0)
