"""Languages without labels: the overlap-weighted, clamped threshold, the prior, transport after a retrain."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.policy import DecisionPolicy, flagged
from polyvigil.decide.rules import DevScores
from polyvigil.decide.shift import Side, shifts, transport
from polyvigil.decide.thresholds import logit
from polyvigil.decide.tune import tune
from polyvigil.decide.unlabelled import Reference, by_prior, overlap, references, similar_threshold


def _scores(shift: float, seed: int, posts: int = 3000, positives: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (np.arange(posts) < positives).astype(np.int8)
    logits = shift - 2 + 4 * labels + random.normal(size=posts)
    return 1 / (1 + np.exp(-logits)), labels


def _dev(shifts_of: dict[str, float]) -> DevScores:
    parts = [(*_scores(shift, seed), name) for seed, (name, shift) in enumerate(shifts_of.items())]
    return DevScores(
        np.concatenate([scores for scores, _, _ in parts]),
        np.concatenate([labels for _, labels, _ in parts]),
        np.concatenate([np.full(len(labels), name) for _, labels, name in parts]),
    )


def _policy(dev: DevScores) -> DecisionPolicy:
    spec = DecideSpec(rule="argmax")
    return tune(dev.probabilities, dev.labels, dev.languages.tolist(), spec=spec, dev_fingerprint="")


def test_overlap_is_the_shared_area_of_the_histograms() -> None:
    first, second = _scores(0, 1)[0], _scores(1, 2)[0]
    edges = np.linspace(-7, 7, 29)
    shared = 0.0
    for low, high in pairwise(edges):
        in_bin = [np.mean((logit(p) >= low) & ((logit(p) < high) | (high == 7))) for p in (first, second)]
        shared += min(in_bin)
    assert overlap(first, second) == pytest.approx(shared)
    assert overlap(first, first) == pytest.approx(1.0)
    assert overlap(np.array([1e-9, 0.0]), np.array([1e-300])) == 1.0  # beyond the bins: the outer ones
    assert overlap(np.array([0.001]), np.array([0.999])) == 0.0


def test_the_language_with_similar_scores_weighs_most() -> None:
    dev = _dev({"en": 0.0, "ru": -3.0, "de_cadec": 3.0})
    policy = _policy(dev)
    known = references(dev, policy)
    assert [reference.language for reference in known] == ["en", "ru"]
    new, labels = _scores(-3.0, 9)
    threshold = similar_threshold(new, known)
    assert (threshold.source, threshold.like, threshold.source_name) == ("similar", "ru", "similar:ru")
    assert threshold.value == pytest.approx(policy.threshold("ru").value, abs=0.02)
    mean = similar_threshold(new, known, rule="mean")
    assert mean.source == "fallback"
    assert mean.value == pytest.approx(np.mean([policy.threshold(name).value for name in ("en", "ru")]))
    figures = [
        float(2 * (labels * flags).sum() / (labels.sum() + flags.sum()))
        for flags in (flagged(new, threshold.value), flagged(new, mean.value))
    ]
    assert figures[0] > figures[1] + 0.1


def test_share_of_flags_stays_near_labelled_languages() -> None:
    dev = _dev({"en": 0.0, "ru": 0.0})
    known = references(dev, _policy(dev))
    reference = float(np.sqrt(known[0].share * known[1].share))
    for shift, bound in ((2.5, 2 * reference), (-3.5, reference / 2)):
        new, _ = _scores(shift, 5)
        threshold = similar_threshold(new, known)
        assert np.mean(flagged(new, threshold.value)) == pytest.approx(bound, abs=1 / len(new))


def test_warnings_say_when_no_threshold_can_be_trusted() -> None:
    dev = _dev({"en": 0.0, "ru": 0.5})
    known = references(dev, _policy(dev))
    assert similar_threshold(_scores(0.2, 6)[0], known).warnings == ()
    far = similar_threshold(np.random.default_rng(0).uniform(0.97, 0.99, 500), known)
    told = " ".join(far.warnings)
    assert "the scores mean something else here" in told
    assert "no labelled language has scores like these (largest overlap 0." in told
    assert "sensible rules would flag" in told


def test_a_known_prevalence_is_flagged() -> None:
    new, labels = _scores(1.0, 7)
    threshold = by_prior(new, 0.1)
    assert flagged(new, threshold.value).sum() == 300 == labels.sum()
    assert threshold.source == "prior"


def test_no_labelled_language_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 scores, 0 labelled"):
        similar_threshold(np.empty(0), ())
    with pytest.raises(ValueError, match="3 scores, 0 labelled"):
        similar_threshold(np.full(3, 0.5), ())


def test_equal_weights_where_nothing_overlaps() -> None:
    known = [Reference(name, np.full(50, 0.9), cut, 0.5) for name, cut in (("en", 0.4), ("ru", 0.6))]
    new = np.linspace(0.01, 0.02, 50)
    threshold = similar_threshold(new, known)
    assert flagged(new, threshold.value).sum() == round(50 * 0.25)  # none at a threshold of .5: held to half the share
    assert "largest overlap 0.00" in " ".join(threshold.warnings)


def test_transport_keeps_each_share_of_flags() -> None:
    """The paper's ja .70 -> .27: the scores of a retrained model fall, the decisions stay."""
    dev = _dev({"en": 0.0, "ja": 1.0})
    policy = _policy(dev)
    old = Side(policy, dev.probabilities)
    moved = 1 / (1 + np.exp(-(logit(dev.probabilities) - np.where(dev.languages == "ja", 1.8, 0.0))))
    languages = dev.languages.tolist()
    thresholds = transport(old, moved, languages)
    new = Side(policy.with_thresholds(thresholds), moved)
    before, after = policy.flags(dev.probabilities, languages), new.policy.flags(moved, languages)
    assert (before == after).all()
    en, ja = shifts(old, new, languages)
    assert (en.language, ja.language) == ("en", "ja")
    assert en.new == pytest.approx(en.old, abs=0.01)
    assert ja.new < ja.old - 0.3
    assert ja.old_share == ja.new_share
    stale = shifts(old, Side(policy, moved), languages)[1]
    assert stale.new_share < 0.6 * stale.old_share  # what keeping the old threshold would have done
    assert {threshold.source for threshold in thresholds.values()} == {"transported"}


def test_transport_warns_where_few_posts_are_flagged() -> None:
    dev = _dev({"en": 0.0})
    few = DevScores(dev.probabilities[250:400], dev.labels[250:400], dev.languages[250:400])
    none = DevScores(dev.probabilities[-100:], dev.labels[-100:], dev.languages[-100:])
    policy = _policy(dev)
    assert transport(Side(policy, few.probabilities), few.probabilities, few.languages.tolist())["en"].warnings == ()
    [warning] = transport(Side(policy, none.probabilities), none.probabilities, none.languages.tolist())["en"].warnings
    assert "of 100 posts are flagged" in warning
