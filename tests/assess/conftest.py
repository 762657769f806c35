"""A tiny bundle and evaluations for the tests of the report: no file is read, no model is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from polyvigil.assess.evaluate import Evaluation, evaluate
from polyvigil.bundle.layout import Manifest, MemberEntry
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.decide.policy import DecisionPolicy, tune
from polyvigil.detect.base import FitRecord
from polyvigil.records import LabelledPost, Post, Probabilities
from polyvigil.specs import DecideSpec

TRAINED = ("de", "de_cadec", "en", "fr", "ja")
DEV_FINGERPRINT = "d" * 32


@dataclass(frozen=True, slots=True)
class Fixed:
    """A detector that was never trained: it has a record, and 0.5 for every post."""

    kind: ClassVar[str] = "linear"
    fit_record: FitRecord

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        return np.full(len(posts), 0.5)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Made:
    """What ``report_html`` takes."""

    evaluation: Evaluation
    bundle: Bundle


def made_posts(language: str, number: int, positives: int, *, type: str = "tweet") -> list[LabelledPost]:
    return [
        LabelledPost(Post(id=f"{language}_{place}", text=f"post {place} in {language}", language=language, type=type),
                     int(place < positives))
        for place in range(number)
    ]  # fmt: skip


def made_probabilities(items: Sequence[LabelledPost], *, seed: int = 0, apart: float = 0.3) -> Probabilities:
    """Positives ``apart`` above negatives on average."""
    random = np.random.default_rng(seed)
    labels = np.array([item.label for item in items])
    return np.clip(random.normal(0.3 + apart * labels, 0.12), 0.001, 1)


def made_policy(items: Sequence[LabelledPost], probabilities: Probabilities) -> DecisionPolicy:
    labels = np.array([item.label for item in items], dtype=np.int8)
    languages = [item.post.language for item in items]
    return tune(probabilities, labels, languages, spec=DecideSpec(), dev_fingerprint=DEV_FINGERPRINT)


def made_bundle(policy: DecisionPolicy, *, libraries: dict[str, str] | None = None) -> Bundle:
    record = FitRecord(seed=42, posts=47_547, positives=3_478, languages=TRAINED, train_fingerprint="e" * 32)
    manifest = Manifest(
        id="0123456789abcdef",
        normalisation="gladiators-1",
        trained_languages=TRAINED,
        tuned_languages=tuple(policy.thresholds),
        members=(MemberEntry(folder="members/00-linear", kind="linear"),),
        libraries=libraries or {"polyvigil": "0.1.0", "python": "3.11.9"},
        created="2026-05-01T12:00:00+00:00",
        files={},
    )
    none = np.empty(0, dtype=np.uint64)
    return Bundle(manifest, (Fixed(record),), policy, Seen(none, none))


def made_evaluation(items: Sequence[LabelledPost], policy: DecisionPolicy, **changes: object) -> Evaluation:
    evaluation = evaluate(
        items,
        made_probabilities(items, seed=1),
        policy,
        trained_languages=TRAINED,
        bundle="bundles/spring",
        data="test.csv",
    )
    return evaluation.model_copy(update=changes)


@pytest.fixture(scope="session")
def made() -> Made:
    """Six groups: CADEC, a language with one positive, one without any, one nobody trained on."""
    dev = [*made_posts("de", 300, 40), *made_posts("de_cadec", 50, 30, type="drug_review"), *made_posts("en", 400, 60),
           *made_posts("fr", 40, 0), *made_posts("ja", 200, 30)]  # fmt: skip
    policy = made_policy(dev, made_probabilities(dev))
    test = [*made_posts("de", 634, 35, type="forum post"), *made_posts("de_cadec", 90, 60, type="drug_review"),
            *made_posts("en", 888, 61), *made_posts("fa", 120, 14), *made_posts("fr", 40, 0, type=""),
            *made_posts("ja", 3045, 1)]  # fmt: skip
    return Made(made_evaluation(test, policy), made_bundle(policy))


@pytest.fixture(scope="session")
def clean() -> Made:
    """Nothing to be cautious about: the verdict is pass."""
    dev = [*made_posts("de", 300, 40), *made_posts("en", 400, 60)]
    policy = made_policy(dev, made_probabilities(dev))
    return Made(
        made_evaluation([*made_posts("de", 500, 60), *made_posts("en", 800, 90)], policy), made_bundle(policy)
    )


MakeHtml = Callable[..., str]
