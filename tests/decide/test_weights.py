"""Weights against an exhaustive greedy search and hand-computed means."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from polyvigil.decide.combine import Combination
from polyvigil.decide.rules import DevScores
from polyvigil.decide.weights import cross_fitted_weights, fitted_weights, greedy_path, regime_weights


def _posts(size: int = 400, seed: int = 0, members: int = 3) -> tuple[np.ndarray, DevScores]:
    """Members of falling skill."""
    random = np.random.default_rng(seed)
    labels = (np.arange(size) % 8 == 0).astype(np.int8)
    logits = np.array([labels * (2.5 - 0.5 * m) + random.normal(0, 1, size) for m in range(members)]) - 2
    by_member = 1 / (1 + np.exp(-logits))
    languages = np.array([("en", "ja", "de_cadec")[place % 3] for place in range(size)])
    return by_member, DevScores(by_member.mean(axis=0), labels, languages)


@pytest.mark.parametrize("seed", range(8))
def test_greedy_selection_equals_exhaustive_search(seed: int) -> None:
    """The twin builds every bag that one addition can make, with replacement, and scores it by scikit-learn."""
    by_member, posts = _posts(60, seed)
    bag: list[int] = []
    figures: list[float] = []
    for _ in range(7):
        tried = [
            average_precision_score(posts.labels, by_member[[*bag, place]].mean(axis=0))
            for place in range(len(by_member))
        ]
        best = max(tried)
        bag.append(min(place for place, figure in enumerate(tried) if figure > best - 1e-12))
        figures.append(best)
    kept = 1 + min(place for place, figure in enumerate(figures) if figure > max(figures) - 1e-12)
    assert greedy_path(by_member, posts.labels, rounds=7) == tuple(bag[:kept])


def test_fitted_weights_are_at_least_as_good_as_the_best_member() -> None:
    by_member, posts = _posts()
    official = posts.languages != "de_cadec"
    weights = fitted_weights(by_member, posts)
    path = greedy_path(by_member[:, official], posts.labels[official])
    assert weights.tolist() == [path.count(place) / len(path) for place in range(3)]
    alone = [average_precision_score(posts.labels[official], row[official]) for row in by_member]
    assert average_precision_score(posts.labels[official], (weights @ by_member)[official]) >= max(alone)


def test_cadec_and_posts_of_one_class_move_no_weight() -> None:
    by_member, posts = _posts()
    cadec = posts.languages == "de_cadec"
    shuffled = by_member.copy()
    shuffled[:, cadec] = shuffled[::-1, cadec]
    assert fitted_weights(shuffled, posts).tolist() == fitted_weights(by_member, posts).tolist()
    negatives = posts.labels == 0
    assert fitted_weights(by_member[:, negatives], posts.where(negatives)).tolist() == pytest.approx([1 / 3] * 3)


def test_cross_fitted_weights_use_other_folds_only() -> None:
    by_member, posts = _posts()
    seen = np.zeros(len(posts.labels), dtype=int)
    for held_out, weights in cross_fitted_weights(by_member, posts):
        seen += held_out
        changed = by_member.copy()
        changed[:, held_out] = np.random.default_rng(9).random((3, int(held_out.sum())))
        assert fitted_weights(changed[:, ~held_out], posts.where(~held_out)).tolist() == weights.tolist()
        assert 0 < posts.labels[held_out].sum() < held_out.sum()
    assert (seen == 1).all()


def test_regimes_are_the_weighted_mean_of_their_means() -> None:
    """The paper's two regimes, 1.0 and 0.7, here of 3 and 2 members; the second has weights of its own."""
    by_member, _ = _posts(50, members=5)
    weights = regime_weights((1.0, 0.7), ((1, 1, 1), (3, 1)))
    assert weights == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0.525, 0.175))
    first, second = by_member[:3].mean(axis=0), (3 * by_member[3] + by_member[4]) / 4
    assert Combination(weights=weights).mean(by_member) == pytest.approx((1.0 * first + 0.7 * second) / 1.7)
    with pytest.raises(ValueError, match="zip"):
        regime_weights((1.0,), ((1,), (1,)))


def test_a_subset_of_members_keeps_weight_ratios() -> None:
    by_member, _ = _posts(50)
    some = Combination(weights=(1.0, 2.0, 4.0)).of((0, 2))
    assert some.mean(by_member[[0, 2]]) == pytest.approx((by_member[0] + 4 * by_member[2]) / 5)
    assert Combination().of((0, 2)).mean(by_member[[0, 2]]) == pytest.approx((by_member[0] + by_member[2]) / 2)
