"""Fine-tune an encoder: check the posts, tokenise once, train, keep the best epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import EncoderSpec
from polyvigil.config.training import BalanceSpec, LoraSpec, TrainingSpec
from polyvigil.data.fingerprint import fingerprint
from polyvigil.detect.base import CostEstimate, FitRecord, PoolingChoice
from polyvigil.detect.transformer import EncoderConfig, EncoderDetector
from polyvigil.errors import DataError
from polyvigil.learn import checkpoint, fine_tune
from polyvigil.learn.balance import language_counts, trained_languages, training_indices, training_weights
from polyvigil.learn.checkpoint_manager import trained
from polyvigil.learn.dev import DevSet
from polyvigil.learn.disk import DiskUse
from polyvigil.learn.distil import TeacherTargets, soft_targets
from polyvigil.learn.fine_tune import KeptEpoch, TrainSet
from polyvigil.learn.head import start_head
from polyvigil.learn.loop import TrainingCallbacks
from polyvigil.learn.lora import Adapters, adapt
from polyvigil.learn.pooling import choose
from polyvigil.learn.ranks import this_rank
from polyvigil.learn.trial_steps import estimate_cost
from polyvigil.learn.trim import Trimmed, trim
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.source import needs_fetching, settings_bytes
from polyvigil.nn.windows import LongRule, TokenIds
from polyvigil.progress import MetricsLog
from polyvigil.text.normalise import NORMALISATION, model_text, no_text_reason
from polyvigil.types import LabelledPost, Labels

_SILENT = TrainingCallbacks()
_RULE = DecideSpec()
_EVERY_WEIGHT = LoraSpec()
_NAME_BYTES = 160
"""Of a tensor in the header of a safetensors file: its name, shape and place (measured: 100 to 150)."""
_TOKENISED_TOGETHER = 4_000
_HEADER_BYTES = 4_000
"""Of a checkpoint's JSON: a few hundred for each epoch."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """Everything that training begins with."""

    encoder: Encoder
    adapters: Adapters | None
    trimmed: Trimmed


@dataclass(frozen=True, slots=True)
class EncoderLearner:
    """Learner of ``EncoderDetector``. ``work``: folder of checkpoints, resumed from where it holds some of this run.

    ``members`` and ``trainings``: how many members are still to be made, and in how many trainings each (learn.disk).
    ``keep``: which epoch's weights it ends with; with the last one the dev posts choose nothing, the pooling of windows
    included. ``lora``: adapters, none by default; ``teacher_targets``: what a teacher says of the very posts that
    ``fit`` is given. ``decide`` is the rule by which the dev F1 of an epoch is found; ``log``, ``progress``,
    ``counted``, ``stop`` and ``metrics`` are those of loop.TrainingCallbacks.
    """

    spec: EncoderSpec
    training: TrainingSpec
    balance: BalanceSpec
    _: KW_ONLY
    work: Path | None = None
    members: int = 1
    trainings: int = 1
    keep: KeptEpoch = "best"
    offline: bool = False
    device: str = "auto"
    lora: LoraSpec = _EVERY_WEIGHT
    teacher_targets: TeacherTargets | None = None
    decide: DecideSpec = _RULE
    log: Callable[[str], None] = _SILENT.log
    progress: Callable[[int, int, float, float], None] = _SILENT.progress
    counted: Callable[[str, int, int], None] = _SILENT.counted
    stop: Callable[[], bool] = _SILENT.stop
    metrics: MetricsLog = _SILENT.metrics

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> EncoderDetector:
        """Fit on ``train``; ``dev`` chooses the epoch, unless the last is kept.

        The same posts in the same order, settings and seed: the same detector.
        Raises DataError (posts of one class), RecipeError (no such model or device), BundleError (a damaged model),
        TrainingError (see fine_tune.train) and InterruptError (``stop``).
        """
        ready = self._training_inputs(train, dev, seed=seed)
        encoder, trimmed = ready.encoder, ready.trimmed
        first = this_rank().rank == 0
        if self.work is not None and first:
            checkpoint.check_disk(self.work, use=self._disk(ready))
        if self.training.head == "probe":
            self._announce("fitting a logistic regression on the model's vectors: what the head starts from")
            start_head(encoder, trimmed.posts, budget=self.training.micro_tokens, counted=self.counted)
        log = fine_tune.train(
            encoder,
            trimmed.posts,
            trimmed.dev,
            spec=self.training,
            decide=self.decide,
            seed=seed,
            source=self.spec.model_dump_json() + self.lora.model_dump_json() + trimmed.digest,
            work=self.work,
            callbacks=TrainingCallbacks(self.log, self.progress, self.counted, self.stop, self.metrics),
            pooling=self.spec.trained_pooling,
            keep=self.keep,
        )
        if self.work is not None and first:
            checkpoint.keep_best_alone(self.work)
        if self.spec.long_posts == "windows" and self.spec.pooling == "auto" and self.keep == "best":
            log = log.model_copy(update={"pooling": self._pooling(encoder, trimmed.dev, budget=log.micro_tokens)})
        trimmed.expand(encoder)
        log = log.model_copy(update={"parameters": log.parameters + trimmed.left_out})
        if ready.adapters:
            ready.adapters.merge()
        if self.teacher_targets:
            log = log.model_copy(
                update={"teacher": self.teacher_targets.teacher, "unlabelled": len(self.teacher_targets.unlabelled)}
            )
        record = FitRecord(
            seed=seed,
            posts=len(train),
            positives=sum(item.label for item in train),
            languages=trained_languages(train),
            train_fingerprint=fingerprint([item.post for item in train]),
            counts=language_counts(train),
        )
        config = EncoderConfig(
            normalisation=NORMALISATION,
            max_tokens=self.spec.max_tokens,
            long_posts=self.spec.long_posts,
            window_overlap=self.spec.window_overlap,
            most_windows=self.spec.most_windows,
            pooling=log.pooling.chosen if log.pooling else self.spec.trained_pooling,
            packing=self.spec.packing,
            fit_record=record,
        )
        return EncoderDetector(encoder, config, log)

    def estimate_cost(
        self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int
    ) -> CostEstimate | None:
        """What ``fit`` would take, measured on a few steps that are thrown away; None for a model not fetched yet.

        Writes and fetches nothing; raises as ``fit`` does.
        """
        if needs_fetching(self.spec.name, revision=self.spec.revision):
            return None
        ready = self._training_inputs(train, dev, seed=seed)
        posts = ready.trimmed.posts
        return estimate_cost(
            ready.encoder,
            posts,
            ready.trimmed.dev,
            spec=self.training,
            pooling=self.spec.trained_pooling,
            seed=seed,
            left_out=ready.trimmed.left_out,
            disk=self._disk(ready),
            full=sum(item.shape[-1] == self.spec.max_tokens for item in posts.tokens),
        )

    def _training_inputs(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> _Ready:
        """Check the posts, load the model, tokenise once."""
        labels, dev_labels = _labels(train), _labels(dev)
        _check(labels, np.ones(len(labels), dtype=bool), part="training")
        dev_texts = [model_text(item.post.text, NORMALISATION) for item in dev]
        readable = np.array([not no_text_reason(text) for text in dev_texts], dtype=bool)
        _check(dev_labels, readable, part="dev")
        self._announce(f"loading {self.spec.name}")
        encoder = self._encoder(seed)
        adapters = adapt(encoder, spec=self.lora, seed=seed) if self.lora.rank else None
        encoder.to(self.device)
        further = self.teacher_targets.unlabelled if self.teacher_targets else ()
        all_posts = [*(item.post for item in train), *further]
        self._announce(f"tokenising {len(all_posts):,} training and {len(dev):,} dev posts")
        posts = TrainSet(
            tokens=self._tokens(encoder, [model_text(post.text, NORMALISATION) for post in all_posts]),
            labels=np.append(labels, np.zeros(len(further), dtype=np.int8)),
            languages=[post.language for post in all_posts],
            weights=np.append(training_weights(train, self.balance), np.zeros(len(further))),
            pool=np.append(
                training_indices(labels, times=self.balance.oversample), np.arange(len(train), len(all_posts))
            ),
            soft=soft_targets(self.teacher_targets) if self.teacher_targets else None,
        )
        dev_set = DevSet(
            self._tokens(encoder, dev_texts),
            dev_labels,
            [item.post.language for item in dev],
            readable,
            [item.post.group for item in dev],
        )
        return _Ready(encoder, adapters, trim(encoder, posts, dev_set))

    def _disk(self, ready: _Ready) -> DiskUse:
        """Of this member and those after it, the names of tensors and the tokenizer's files included."""
        parameters = dict(ready.encoder.model.named_parameters())
        fitted = trained(ready.encoder.model)
        whole = sum(p.numel() for p in parameters.values()) + ready.trimmed.left_out
        return DiskUse(
            trained=sum(p.numel() for p in fitted.values()),
            member=4 * whole
            + _NAME_BYTES * len(parameters)
            + settings_bytes(self.spec.name, revision=self.spec.revision),
            members=self.members,
            trainings=self.trainings,
            overhead=_NAME_BYTES * 5 * len(fitted) + _HEADER_BYTES,
        )

    def _pooling(self, encoder: Encoder, dev: DevSet, *, budget: int) -> PoolingChoice:
        choice = choose(
            encoder,
            dev,
            this_rank(),
            decide=self.decide,
            trained=self.spec.trained_pooling,
            budget=budget,
            counted=self.counted,
        )
        shown = ", ".join(f"{name} {value:.3f}" for name, value in choice.figures.items())
        self._announce(f"windows of a long post are pooled by {choice.chosen} ({shown or 'too few to tell'})")
        return choice

    def _announce(self, message: str) -> None:
        """Log it, once of several processes."""
        if this_rank().rank == 0:
            self.log(message)

    def _tokens(self, encoder: Encoder, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of normalised texts, some thousand at a time."""
        tokens: list[TokenIds] = []
        for start in range(0, len(texts), _TOKENISED_TOGETHER):
            tokens += encoder.tokenise(texts[start : start + _TOKENISED_TOGETHER])
            self.counted("tokenising", len(tokens), len(texts))
        return tokens

    def _encoder(self, seed: int) -> Encoder:
        return load_encoder(
            self.spec.name,
            max_tokens=self.spec.max_tokens,
            long_posts=LongRule(self.spec.long_posts, self.spec.window_overlap, self.spec.most_windows),
            token_pooling=self.spec.token_pooling,
            packing=self.spec.packing,
            offline=self.offline,
            revision=self.spec.revision,
            seed=seed,
        )


def _labels(posts: Sequence[LabelledPost]) -> Labels:
    return np.array([item.label for item in posts], dtype=np.int8)


def _check(labels: Labels, readable: NDArray[np.bool_], *, part: str) -> None:
    positives = int(labels[readable].sum())
    if not positives or labels.all():
        raise DataError(
            f"the {len(labels)} {part} posts hold {positives} positives with a text; both classes are needed",
            hint="check which split and which label column was read",
        )
