"""Thresholds from a whole reviewed worklist: half way, by hand and by a brute-force twin; nothing else moves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from polyvigil.bundle.store import load
from polyvigil.data.read import read_labelled
from polyvigil.errors import DataError
from polyvigil.evaluation.rate_curve import recalibrate
from polyvigil.types import LabelledPost
from polyvigil.workflows.tune_reviewed import ReviewedPosts, best_expected_f1, tune_on_reviewed

GOLDEN = Path(__file__).parents[1] / "golden"
BUNDLE = GOLDEN / "bundles" / "linear"


def test_the_best_expected_f1_is_that_of_the_posts_that_are_stood_for() -> None:
    random = np.random.default_rng(0)
    rates, copies = random.random(40), random.integers(1, 9, 40)
    everyone = np.sort(np.repeat(rates, copies))[::-1]
    twin = max(2 * everyone[:k].sum() / (k + everyone.sum()) for k in range(1, len(everyone) + 1))
    assert best_expected_f1(rates, copies.astype(float)) == pytest.approx(twin)


def reviewed(posts: tuple[LabelledPost, ...], inclusion: float = 0.5) -> ReviewedPosts:
    return ReviewedPosts(posts, np.full(len(posts), inclusion), "reviewed.csv")


def test_thresholds_move_half_way_and_members_stay(tmp_path: Path) -> None:
    bundle, files = load(BUNDLE), [GOLDEN / "posts" / f"{name}.csv" for name in ("train", "dev", "test")]
    posts = [post for file in files for post in read_labelled(file).posts]
    english = tuple(item for item in posts if item.post.language == "en")
    assert sum(item.label for item in english) >= 10
    few = next(item for item in posts if item.post.language == "de")
    result = tune_on_reviewed(BUNDLE, bundle, reviewed((*english, few)), output=tmp_path / "tuned")
    old, new = bundle.policy.thresholds, result.bundle.policy.thresholds
    assert {name for name in old if old[name] != new[name]} == {"en"}
    assert (new["en"].rule, new["en"].source, new["en"].posts) == ("reviewed", "own", len(english))
    texts = [item.post for item in english]
    languages = ["en"] * len(texts)
    u = logit(bundle.calibration.calibrated(bundle.probabilities(texts), languages))
    fitted = recalibrate(u, np.array([item.label for item in english], dtype=float))
    best = logit(best_expected_f1(expit(fitted.slope * u + fitted.offset), np.full(len(u), 2.0)) / 2)
    wanted = (best - fitted.offset) / fitted.slope

    def calibrated(threshold: float) -> float:
        return float(logit(bundle.calibration.calibrated(np.array([threshold]), ["en"]))[0])

    assert calibrated(new["en"].value) == pytest.approx((calibrated(old["en"].value) + wanted) / 2, abs=1e-6)
    assert result.bundle.probabilities(texts) == pytest.approx(bundle.probabilities(texts))
    assert not result.bundle.policy.was_tuned_on(result.bundle.policy.dev_fingerprint)
    assert json.loads((tmp_path / "tuned" / "policy.json").read_text())["thresholds"]["en"]["rule"] == "reviewed"


def test_too_few_ades_move_nothing(tmp_path: Path) -> None:
    posts = read_labelled(GOLDEN / "posts" / "twelve.csv").posts[:4]
    with pytest.raises(DataError, match="no language has 10 reviewed ADEs"):
        tune_on_reviewed(BUNDLE, load(BUNDLE), reviewed(posts), output=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()
