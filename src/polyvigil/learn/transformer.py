"""Fine-tune an encoder: check the posts, tokenise once, train, keep the best epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.data.fingerprint import fingerprint
from polyvigil.detect.base import FitRecord
from polyvigil.detect.transformer import EncoderConfig, EncoderDetector
from polyvigil.errors import DataError
from polyvigil.learn import loop
from polyvigil.learn.balance import trained_languages, training_indices, training_weights
from polyvigil.learn.dev import DevSet
from polyvigil.learn.loop import Hooks, TrainSet
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.records import LabelledPost, Labels
from polyvigil.specs import BalanceSpec, DecideSpec, EncoderSpec, TrainingSpec
from polyvigil.text.normalise import model_text, no_text_reason

_SILENT = Hooks()
_RULE = DecideSpec()


@dataclass(frozen=True, slots=True)
class EncoderLearner:
    """Learner of ``EncoderDetector``. ``work``: folder of checkpoints, resumed from where it holds some of this run.

    ``decide`` is the rule by which the dev F1 of an epoch is found; ``say``, ``progress``, ``stop``: see loop.Hooks.
    """

    spec: EncoderSpec
    training: TrainingSpec
    balance: BalanceSpec
    _: KW_ONLY
    work: Path | None = None
    offline: bool = False
    device: str = "auto"
    decide: DecideSpec = _RULE
    say: Callable[[str], None] = _SILENT.say
    progress: Callable[[int, int, float, float], None] = _SILENT.progress
    stop: Callable[[], bool] = _SILENT.stop

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> EncoderDetector:
        """Fit on ``train``; ``dev`` chooses the epoch. The same posts in the same order, settings and seed: the same.

        Raises DataError (posts of one class), RecipeError (no such model or device), BundleError (a damaged model),
        TrainingError (see loop.train) and InterruptError (``stop``).
        """
        labels, dev_labels = _labels(train), _labels(dev)
        _check(labels, np.ones(len(labels), dtype=bool), part="training")
        dev_texts = [model_text(item.post.text) for item in dev]
        readable = np.array([not no_text_reason(text) for text in dev_texts], dtype=bool)
        _check(dev_labels, readable, part="dev")
        encoder = self._encoder(seed)
        posts = TrainSet(
            tokens=encoder.tokenise([model_text(item.post.text) for item in train]),
            labels=labels,
            languages=[item.post.language for item in train],
            weights=training_weights(train, self.balance),
            pool=training_indices(labels, times=self.balance.oversample),
        )
        log = loop.train(
            encoder,
            posts,
            DevSet(encoder.tokenise(dev_texts), dev_labels, [item.post.language for item in dev], readable),
            spec=self.training,
            decide=self.decide,
            seed=seed,
            source=self.spec.model_dump_json(),
            work=self.work,
            hooks=Hooks(self.say, self.progress, self.stop),
        )
        record = FitRecord(
            seed=seed,
            posts=len(train),
            positives=int(labels.sum()),
            languages=trained_languages(train),
            train_fingerprint=fingerprint([item.post for item in train]),
        )
        config = EncoderConfig(max_tokens=self.spec.max_tokens, packing=self.spec.packing, fit_record=record)
        return EncoderDetector(encoder, config, log)

    def _encoder(self, seed: int) -> Encoder:
        encoder = load_encoder(
            self.spec.name,
            max_tokens=self.spec.max_tokens,
            packing=self.spec.packing,
            offline=self.offline,
            seed=seed,
        )
        encoder.to(self.device)
        return encoder


def _labels(posts: Sequence[LabelledPost]) -> Labels:
    return np.array([item.label for item in posts], dtype=np.int8)


def _check(labels: Labels, readable: NDArray[np.bool_], *, part: str) -> None:
    positives = int(labels[readable].sum())
    if not positives or labels.all():
        raise DataError(
            f"the {len(labels)} {part} posts hold {positives} positives with a text; both classes are needed",
            hint="check which split and which label column was read",
        )
