"""A small model with the interface of nn.encoder.Encoder, posts with a planted word, and a training of a second."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import Pooling
from polyvigil.config.training import TrainingSpec
from polyvigil.detect.base import TrainingLog
from polyvigil.learn import fine_tune
from polyvigil.learn.balance import training_indices
from polyvigil.learn.dev import DevSet
from polyvigil.learn.fine_tune import TrainSet
from polyvigil.learn.loop import TrainingCallbacks

PLANTED = 7
SPEC = TrainingSpec(
    epochs=2, posts_per_step=8, micro_tokens=40, learning_rate=0.01, warmup=0.1, checkpoint_minutes=1000.0
)


class SmallEncoder:
    """Mean of embeddings, dropout, layer norm, two logits."""

    packed = True
    max_tokens = 16
    device = torch.device("cpu")

    def __init__(self, *, dropout: float = 0.2, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = torch.nn.ModuleDict(
                {
                    "words": torch.nn.Embedding(30, 12),
                    "LayerNorm": torch.nn.LayerNorm(12),
                    "dropout": torch.nn.Dropout(dropout),
                    "head": torch.nn.Linear(12, 2),
                    "unused": torch.nn.Linear(2, 2),
                }
            )
        self.model.eval()

    def logits(self, items: Sequence[NDArray[np.int32]]) -> torch.Tensor:
        means = [self.model["words"](torch.from_numpy(item.astype(np.int64))).mean(dim=0) for item in items]
        hidden = self.model["dropout"](self.model["LayerNorm"](torch.stack(means)))
        return self.model["head"](hidden).float()


def posts(n: int, *, seed: int = 0) -> TrainSet:
    """Posts of 2 to 12 random tokens in two languages; a third are positive and hold the planted token."""
    random = np.random.default_rng(seed)
    tokens, labels = [], (random.random(n) < 0.3).astype(np.int8)
    for label in labels:
        item = random.integers(8, 30, size=random.integers(2, 13)).astype(np.int32)
        if label:
            item[random.integers(len(item))] = PLANTED
        tokens.append(item)
    languages = [("de", "en")[place % 2] for place in range(n)]
    weights = 0.5 + random.random(n)
    return TrainSet(tokens, labels, languages, weights, training_indices(labels, times=2))


def windowed(train: TrainSet) -> TrainSet:
    """The same posts, those of 6, 8 ... tokens as two windows."""
    two = [item.reshape(2, -1) if len(item) >= 6 and len(item) % 2 == 0 else item for item in train.tokens]
    return replace(train, tokens=two)


def dev_of(train: TrainSet) -> DevSet:
    return DevSet(train.tokens, train.labels, train.languages, np.ones(len(train.labels), dtype=bool))


TRAIN, DEV = posts(43), dev_of(posts(60, seed=1))


def run(
    encoder: SmallEncoder,
    *,
    spec: TrainingSpec = SPEC,
    work: Path | None = None,
    train: TrainSet = TRAIN,
    dev: DevSet = DEV,
    seed: int = 3,
    hooks: TrainingCallbacks | None = None,
    pooling: Pooling = "max",
) -> TrainingLog:
    return fine_tune.train(
        encoder, train, dev, spec=spec, decide=DecideSpec(), seed=seed, source="small", work=work,
        callbacks=hooks or TrainingCallbacks(), pooling=pooling,
    )  # fmt: skip


def weights(encoder: SmallEncoder) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in encoder.model.named_parameters()}


def digest(encoder: SmallEncoder) -> str:
    whole = hashlib.sha256()
    for name, value in weights(encoder).items():
        whole.update(name.encode() + value.numpy().tobytes())
    return whole.hexdigest()


def facts(log: TrainingLog) -> TrainingLog:
    """The log without what the clock and the machine say."""
    free = {"seconds": 0.0, "posts_per_second": 0.0, "peak_memory": 0}
    return log.model_copy(update={"epochs": tuple(record.model_copy(update=free) for record in log.epochs)})


def with_pool(train: TrainSet, pool: NDArray[np.int64]) -> TrainSet:
    return replace(train, pool=pool)
