"""A detector without a model, posts with drawn scores, a training log: what the reports under test are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from polyvigil.decide.calibration import Calibration, Identity
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.detect.base import EpochRecord, FitRecord, Lengths, TrainingLog
from polyvigil.evaluation.dev_comparison import compare_with_dev
from polyvigil.evaluation.evaluate import evaluate, gold_of
from polyvigil.evaluation.measure import Measured
from polyvigil.evaluation.slices import Column, Slice
from polyvigil.types import LabelledPost, Labels, Post, Probabilities

TRAINED = ("de", "de_cadec", "en", "fr", "ja")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A detector with a record, and 0.5 for every post."""

    kind: ClassVar[str] = "linear"
    fit_record: FitRecord
    log: TrainingLog | None = None

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        return np.full(len(posts), 0.5)

    def lengths(self, posts: Sequence[Post]) -> Lengths | None:
        """As many tokens as characters, cut at 9, where it was trained in epochs."""
        tokens = np.array([len(post.text) for post in posts], dtype=np.int32)
        return Lengths(tokens, tokens > 9) if self.log else None

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def posts_of(language: str, number: int, positives: int, *, type: str = "tweet") -> list[LabelledPost]:
    return [
        LabelledPost(Post(f"{language}_{place}", f"{language} post {place}", language, type), int(place < positives))
        for place in range(number)
    ]


def labels_of(items: Sequence[LabelledPost]) -> Labels:
    return np.array([item.label for item in items], dtype=np.int8)


def drawn(items: Sequence[LabelledPost], *, seed: int) -> Probabilities:
    """Positives 0.3 above negatives on average."""
    random = np.random.default_rng(seed)
    return np.clip(random.normal(0.3 + 0.3 * labels_of(items), 0.12), 0.001, 1)


def measure_fixed(
    items: Sequence[LabelledPost],
    policy: DecisionPolicy,
    *,
    data: str = "new.csv",
    columns: Sequence[Column] = (),
    dev: Sequence[Slice] = (),
) -> Measured:
    """Labelled posts with drawn scores, measured as a bundle of ``policy`` would be, and compared with ``dev``."""
    gold, probabilities = gold_of(items), drawn(items, seed=1)
    evaluation = evaluate(
        gold,
        probabilities,
        policy,
        calibration=Calibration(Identity()),
        trained_languages=TRAINED,
        bundle="bundles/spring",
        data=data,
        budgets=(100,),
        prevalence=0.05,
        columns=columns,
    )
    if dev:
        comparison = compare_with_dev(evaluation.languages, dev)
        evaluation = evaluation.model_copy(update={"dev_comparison": comparison})
    return Measured(evaluation, gold, probabilities, tuple(item.post for item in items))


def training_log(seed: int, *, losses: Sequence[float]) -> TrainingLog:
    epochs = tuple(
        EpochRecord(
            epoch=place,
            loss=loss + seed / 1e6,
            learning_rate=1e-5 / place,
            dev_f1=0.7 + 0.02 * (place == 2) + seed / 1e5,
            best=place <= 2,
            seconds=60.0 * place,
            posts_per_second=812.5,
            peak_memory=9_700_000_000,
        )
        for place, loss in enumerate(losses, start=1)
    )
    return TrainingLog(
        epochs=epochs,
        steps_per_epoch=100,
        posts_per_epoch=3200,
        parameters=560_000_000,
        micro_tokens=4096,
        device="cpu",
    )
