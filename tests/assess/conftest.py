"""A small bundle and evaluations for the tests of the report: no file is read, no model is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from polyvigil.assess.evaluate import Evaluation, evaluate, gold_of
from polyvigil.bundle.dev import stored
from polyvigil.bundle.layout import Manifest, MemberEntry
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.decide.calibration import Calibration, Identity
from polyvigil.decide.combine import Combination
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.tune import tune
from polyvigil.detect.base import FitRecord
from polyvigil.records import LabelledPost, Labels, Post, Probabilities
from polyvigil.specs import DecideSpec

_TRAINED = ("de", "de_cadec", "en", "fr", "ja")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A detector with a record, and 0.5 for every post."""

    kind: ClassVar[str] = "linear"
    fit_record: FitRecord

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        return np.full(len(posts), 0.5)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def _posts(language: str, number: int, positives: int, *, type: str = "tweet") -> list[LabelledPost]:
    return [
        LabelledPost(Post(f"{language}_{place}", f"{language} post {place}", language, type), int(place < positives))
        for place in range(number)
    ]


def _labels(items: Sequence[LabelledPost]) -> Labels:
    return np.array([item.label for item in items], dtype=np.int8)


def _probabilities(items: Sequence[LabelledPost], *, seed: int) -> Probabilities:
    """Positives 0.3 above negatives on average."""
    random = np.random.default_rng(seed)
    return np.clip(random.normal(0.3 + 0.3 * _labels(items), 0.12), 0.001, 1)


@pytest.fixture(scope="session")
def report_policy() -> DecisionPolicy:
    """Own thresholds for de, de_cadec, en, ja; the pooled one for fr; the fallback for the rest."""
    dev = [
        *_posts("de", 300, 40),
        *_posts("de_cadec", 50, 30, type="drug_review"),
        *_posts("en", 400, 60),
        *_posts("fr", 40, 0),
        *_posts("ja", 200, 30),
    ]
    languages = [item.post.language for item in dev]
    return tune(_probabilities(dev, seed=0), _labels(dev), languages, spec=DecideSpec(), dev_fingerprint="d1e2" * 8)


def _evaluate(items: Sequence[LabelledPost], policy: DecisionPolicy) -> Evaluation:
    return evaluate(
        gold_of(items),
        _probabilities(items, seed=1),
        policy,
        calibration=Calibration(Identity()),
        trained_languages=_TRAINED,
        bundle="bundles/spring",
        data="new.csv",
    )


@pytest.fixture(scope="session")
def report_evaluation(report_policy: DecisionPolicy) -> Evaluation:
    """CADEC, a language nobody trained on, one without positives, one with a single one: the verdict is warn."""
    items = [
        *_posts("de", 634, 35, type="forum post"),
        *_posts("de_cadec", 90, 60, type="drug_review"),
        *_posts("en", 888, 61),
        *_posts("fa", 120, 14),
        *_posts("fr", 40, 0, type=""),
        *_posts("ja", 3045, 1),
    ]
    return _evaluate(items, report_policy)


@pytest.fixture(scope="session")
def clean_evaluation(report_policy: DecisionPolicy) -> Evaluation:
    """Nothing to be cautious about: the verdict is pass."""
    return _evaluate([*_posts("de", 500, 60), *_posts("en", 800, 90)], report_policy)


@pytest.fixture(scope="session")
def report_bundle(report_policy: DecisionPolicy) -> Bundle:
    """A bundle of one member, in memory only."""
    record = FitRecord(seed=42, posts=47_547, positives=3_478, languages=_TRAINED, train_fingerprint="e3f4" * 8)
    manifest = Manifest(
        id="0123456789abcdef",
        normalisation="gladiators-1",
        trained_languages=_TRAINED,
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
        dev=stored(np.empty((1, 0)), []),
        seen=Seen(none, none),
    )
