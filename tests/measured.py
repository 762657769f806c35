"""A small bundle and its evaluations, made without a file or a model: fixtures of evaluation, checks and report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.fixed import TRAINED, Fixed, drawn, labels_of, measure_fixed, posts_of, training_log

from polyvigil.bundle.dev import stored
from polyvigil.bundle.layout import Manifest, MemberEntry
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.config.decide import DecideSpec
from polyvigil.decide.calibration import Calibration, Identity
from polyvigil.decide.combine import Combination
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.tune import tune
from polyvigil.detect.base import FitRecord
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.measure import Measured, measured_on_dev

_DEV = [
    *posts_of("de", 300, 40),
    *posts_of("de_cadec", 50, 30, type="drug_review"),
    *posts_of("en", 400, 60),
    *posts_of("fr", 40, 0),
    *posts_of("ja", 200, 30),
]


@pytest.fixture(scope="session")
def report_policy() -> DecisionPolicy:
    """Own thresholds for de, de_cadec, en, ja; the pooled one for fr; the fallback for the rest."""
    languages = [item.post.language for item in _DEV]
    scores, labels = drawn(_DEV, seed=0), labels_of(_DEV)
    return tune(scores, labels, languages, spec=DecideSpec(), dev_fingerprint="d1e2" * 8, resamples=20)


@pytest.fixture(scope="session")
def report_measured(report_policy: DecisionPolicy) -> Measured:
    """CADEC, a language nobody trained on, one without positives, one with a single one: the verdict is warn."""
    items = [
        *posts_of("de", 634, 35, type="forum post"),
        *posts_of("de_cadec", 90, 60, type="drug_review"),
        *posts_of("en", 888, 61),
        *posts_of("fa", 120, 14),
        *posts_of("fr", 40, 0, type=""),
        *posts_of("ja", 3045, 1),
    ]
    return measure_fixed(items, report_policy)


@pytest.fixture(scope="session")
def report_evaluation(report_measured: Measured) -> Evaluation:
    """Of ``report_measured``."""
    return report_measured.evaluation


@pytest.fixture(scope="session")
def clean_measured(report_policy: DecisionPolicy) -> Measured:
    """Nothing to be cautious about: the verdict is pass."""
    return measure_fixed([*posts_of("de", 500, 60), *posts_of("en", 800, 90)], report_policy)


@pytest.fixture(scope="session")
def clean_evaluation(clean_measured: Measured) -> Evaluation:
    """Of ``clean_measured``."""
    return clean_measured.evaluation


@pytest.fixture(scope="session")
def report_bundle(report_policy: DecisionPolicy) -> Bundle:
    """A bundle of one member, in memory only."""
    record = FitRecord(seed=42, posts=47_547, positives=3_478, languages=TRAINED, train_fingerprint="e3f4" * 8)
    manifest = Manifest(
        id="0123456789abcdef",
        normalisation="gladiators-1",
        trained_languages=TRAINED,
        tuned_languages=tuple(report_policy.thresholds),
        members=(MemberEntry(folder="members/00-linear", kind="linear"),),
        libraries={"polyvigil": "0.1.0", "python": "3.11.9", "numpy": "2.0.1"},
        created="2026-05-01T12:00:00+00:00",
        files={},
    )
    none = np.empty(0, dtype=np.uint64)
    return Bundle(
        manifest=manifest,
        members=(Fixed(record),),
        combination=Combination(),
        policy=report_policy,
        calibration=Calibration(Identity()),
        dev=stored(drawn(_DEV, seed=0)[None], _DEV),
        seen=Seen(none, none),
    )


@pytest.fixture(scope="session")
def trained_bundle(report_bundle: Bundle) -> Bundle:
    """Three members that were trained in epochs, the best epoch never the last."""
    record = report_bundle.members[0].fit_record
    members = tuple(
        Fixed(record.model_copy(update={"seed": seed}), training_log(seed, losses=(0.033, 0.014, 0.007)))
        for seed in (42, 123, 456)
    )
    dev = replace(report_bundle.dev, by_member=np.stack([drawn(_DEV, seed=seed) for seed in (0, 1, 2)]))
    return replace(report_bundle, members=members, dev=dev)


@pytest.fixture(scope="session")
def dev_measured(report_bundle: Bundle) -> Measured:
    """The stored dev scores of ``report_bundle``: same-set and cross-fitted."""
    return measured_on_dev(report_bundle)
