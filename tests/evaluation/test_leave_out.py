"""Leaving one language out: regrets by hand, and the rules are told apart where scores are shifted."""

from __future__ import annotations

import numpy as np
import pytest

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.policy import flagged
from polyvigil.decide.rules import DevScores
from polyvigil.errors import DataError
from polyvigil.evaluation.leave_out import FIXED, MEAN, OVERLAP, PRIOR, leave_one_language_out
from polyvigil.metrics import count


def _posts(shifts: dict[str, float]) -> DevScores:
    random = np.random.default_rng(2)
    parts = []
    for name, shift in shifts.items():
        labels = (np.arange(600) < 60).astype(np.int8)
        logits = shift - 2 + 4 * labels + random.normal(size=600)
        parts.append((1 / (1 + np.exp(-logits)), labels, np.full(600, name)))
    return DevScores(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def test_regret_is_the_loss_to_the_best_threshold() -> None:
    posts = _posts({"en": 0.0, "ru": 0.2, "ja": -2.5, "de_cadec": 3.0})
    told = leave_one_language_out(posts, spec=DecideSpec())
    assert [part.language for part in told] == ["en", "ja", "ru"]
    for part in told:
        mine = posts.of(part.language)
        best = max(count(mine.labels, flagged(mine.probabilities, cut)).f1 for cut in mine.probabilities)
        assert part.best_f1 == pytest.approx(best)
        for guess in part.guesses.values():
            figure = count(mine.labels, flagged(mine.probabilities, guess.threshold)).f1
            assert guess.f1 == pytest.approx(figure)
            assert guess.regret == pytest.approx(best - figure)
        assert part.guesses[PRIOR].share == pytest.approx(0.1, abs=0.002)
    ja = told[1]
    assert ja.guesses[OVERLAP].regret < min(ja.guesses[MEAN].regret, ja.guesses[FIXED].regret)
    assert told[0].like == "ru"


def test_labels_of_the_left_out_language_are_not_used() -> None:
    posts = _posts({"en": 0.0, "ru": 0.2, "ja": -2.5})
    turned = DevScores(posts.probabilities, posts.labels.copy(), posts.languages)
    ja = posts.languages == "ja"
    turned.labels[ja] = np.roll(turned.labels[ja], 300)
    for rule in (FIXED, MEAN, OVERLAP):
        first, second = (
            next(part for part in leave_one_language_out(some, spec=DecideSpec()) if part.language == "ja")
            for some in (posts, turned)
        )
        assert first.guesses[rule].threshold == second.guesses[rule].threshold


def test_one_language_cannot_be_left_out() -> None:
    with pytest.raises(DataError, match="1 language with labelled posts of both classes"):
        leave_one_language_out(_posts({"en": 0.0, "de_cadec": 0.0}), spec=DecideSpec())
