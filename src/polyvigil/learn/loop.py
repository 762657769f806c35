"""The one training loop: epochs of steps, dev scored after each, the best epoch's weights kept, exactly resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import TRAINED_POOLING, Pooling
from polyvigil.config.training import TrainingSpec
from polyvigil.detect.base import EpochRecord, TrainingLog
from polyvigil.errors import InterruptError, TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.checkpoint import Progress
from polyvigil.learn.checkpoint_manager import CheckpointManager, load_weights, trained
from polyvigil.learn.dev import DevSet, judge
from polyvigil.learn.distil import SoftTargets
from polyvigil.learn.memory import forget_peak, peak_memory
from polyvigil.learn.post_loss import Batch, post_stepper
from polyvigil.learn.ranks import Ranks, this_rank
from polyvigil.learn.sampling import epoch_order, step_seed
from polyvigil.learn.schedule import steps_per_epoch, warmup_cosine, warmup_steps
from polyvigil.learn.step import OVERFLOW
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.windows import TokenIds
from polyvigil.types import Labels

_FREE = {"micro_tokens", "checkpoint_minutes", "gradient_checkpointing"}  # settings a resumed run may change


@dataclass(frozen=True, slots=True)
class TrainSet:
    """Training posts, each field (n_posts,); ``pool``: the indices an epoch goes through, copies included.

    Where there are ``soft`` targets, a post without a label has weight 0, and its label is not looked at.
    """

    tokens: Sequence[TokenIds]
    labels: Labels
    languages: Sequence[str]
    weights: NDArray[np.float64]
    pool: NDArray[np.int64]
    soft: SoftTargets | None = None


@dataclass(frozen=True, slots=True)
class TrainingCallbacks:
    """Whom the loop tells. ``progress`` gets steps done, steps in all, posts per second, seconds left."""

    log: Callable[[str], None] = lambda _: None
    progress: Callable[[int, int, float, float], None] = lambda *_: None
    stop: Callable[[], bool] = lambda: False
    """Asked after each step, in every process; True in any of them saves a checkpoint, and all end with InterruptError.
    The other functions are called in the first process alone."""


def train(
    encoder: Encoder,
    posts: TrainSet,
    dev: DevSet,
    *,
    spec: TrainingSpec,
    decide: DecideSpec,
    seed: int,
    source: str,
    work: Path | None,
    callbacks: TrainingCallbacks,
    pooling: Pooling = TRAINED_POOLING,
) -> TrainingLog:
    """Train ``encoder`` in place; it ends with the weights of the epoch of the best dev F1 (the first on ties).

    ``work``: folder of checkpoints; run again with the same arguments, the training goes on from the last one and ends
    with the weights it would have had (on a CPU with the same number of threads, bit by bit). ``source`` names the
    pretrained model; ``pooling`` makes a post of its windows. Raises TrainingError (no memory, no disk, numbers that
    overflow, checkpoints of another run).
    """
    ranks = this_rank()
    callbacks = callbacks if ranks.rank == 0 else TrainingCallbacks(stop=callbacks.stop)
    if spec.gradient_checkpointing:
        encoder.checkpoint_layers()
    parameters = sum(p.numel() for p in encoder.model.parameters())
    stepper = post_stepper(encoder, spec=spec, ranks=ranks, pooling=pooling)
    if posts.soft is not None:
        ranks.first_values([torch.from_numpy(posts.soft.targets)])  # each asked the teacher: last digits may differ
    identity = _fingerprint(encoder, posts, dev, spec, decide, seed, source + pooling)
    _same_everywhere(encoder, identity, ranks)
    checkpoints = CheckpointManager(
        work, stepper, fingerprint=identity, minutes=spec.checkpoint_minutes, log=callbacks.log
    )
    resumed = checkpoints.resume(micro_tokens=spec.micro_tokens)
    progress, best = resumed.progress, resumed.best

    steps = steps_per_epoch(len(posts.pool), posts_per_step=spec.posts_per_step, last_batch=spec.last_batch)
    warmup = warmup_steps(spec.warmup, steps=spec.epochs * steps, rounding=spec.warmup_rounding)
    per_epoch = min(len(posts.pool), steps * spec.posts_per_step)

    def rate(done: int) -> float:
        return spec.learning_rate * warmup_cosine(done, steps=spec.epochs * steps, warmup=warmup)

    clock = _Clock(left=(spec.epochs - progress.epoch) * per_epoch - progress.posts)
    while progress.epoch < spec.epochs:
        forget_peak(encoder.device)
        encoder.model.train()
        order = epoch_order(posts.pool, posts.languages, spec=spec, seed=seed, epoch=progress.epoch)
        while progress.step < steps:
            done = progress.epoch * steps + progress.step
            chosen = order[progress.step * spec.posts_per_step :][: spec.posts_per_step]
            result = stepper.step(
                Batch(
                    [posts.tokens[i] for i in chosen],
                    posts.labels[chosen],
                    posts.weights[chosen],
                    None if posts.soft is None else posts.soft.of(chosen),
                ),
                rate=rate(done),
                seed=step_seed(seed, done, rank=ranks.rank),
                micro_tokens=progress.micro_tokens,
                where=f"epoch {progress.epoch + 1}, step {progress.step + 1}",
            )
            if result.micro_tokens != progress.micro_tokens:
                callbacks.log(
                    f"out of memory: from here on {result.micro_tokens} tokens at once; the mathematics is the same"
                )
            progress = progress.model_copy(
                update={
                    "step": progress.step + 1,
                    "posts": progress.posts + len(chosen),
                    "loss": progress.loss + result.loss,
                    "seconds": progress.seconds + clock.lap(len(chosen)),
                    "micro_tokens": result.micro_tokens,
                }
            )
            callbacks.progress(done + 1, spec.epochs * steps, clock.rate, clock.seconds_left)
            stopped = ranks.any(callbacks.stop())
            if stopped or checkpoints.due():
                checkpoints.keep(progress, best)
            if stopped:
                raise InterruptError("training was stopped", hint="run the same command again: it goes on from here")
        if progress.loss == 0.0:
            raise TrainingError("every loss was exactly 0", where=f"epoch {progress.epoch + 1}", hint=OVERFLOW)

        verdict = judge(
            encoder,
            dev,
            ranks,
            decide=decide,
            pooling=pooling,
            budget=progress.micro_tokens,
            where=f"after epoch {progress.epoch + 1}",
        )
        seconds = progress.seconds + clock.lap(0)
        record = EpochRecord(
            epoch=progress.epoch + 1,
            loss=progress.loss / progress.posts,
            learning_rate=rate((progress.epoch + 1) * steps),
            dev_f1=verdict.f1,
            best=all(verdict.f1 > earlier.dev_f1 for earlier in progress.records),
            seconds=seconds,
            posts_per_second=progress.posts / seconds,
            peak_memory=peak_memory(encoder.device),
            warnings=verdict.warnings,
        )
        callbacks.log(_epoch_message(record, spec.epochs))
        if record.best:
            best = {name: p.detach().to("cpu", copy=True) for name, p in trained(encoder.model).items()}
        progress = Progress(epoch=record.epoch, micro_tokens=progress.micro_tokens, records=(*progress.records, record))
        checkpoints.keep(progress, best)

    load_weights(encoder.model, best)
    encoder.model.eval()
    return TrainingLog(
        epochs=progress.records,
        steps_per_epoch=steps,
        posts_per_epoch=len(posts.pool),
        parameters=parameters,
        micro_tokens=progress.micro_tokens,
        device=str(encoder.device),
    )


class _Clock:
    """Posts per second of this run, and the time left."""

    def __init__(self, *, left: int) -> None:
        self.left = left
        self.done = 0
        self.begun = self.marked = time.monotonic()

    def lap(self, posts: int) -> float:
        """Seconds since the last lap, in which ``posts`` were trained on."""
        before, self.marked = self.marked, time.monotonic()
        self.done += posts
        self.left -= posts
        return self.marked - before

    @property
    def rate(self) -> float:
        return self.done / max(self.marked - self.begun, 1e-9)

    @property
    def seconds_left(self) -> float:
        return self.left / max(self.rate, 1e-9)


def _epoch_message(record: EpochRecord, epochs: int) -> str:
    text = (
        f"epoch {record.epoch}/{epochs}: loss {record.loss:.4f}, lr {record.learning_rate:.1e}, "
        f"dev F1 {record.dev_f1:.3f}{' (best)' if record.best else ''}, {record.seconds:.0f} s, "
        f"{record.posts_per_second:.1f} posts/s, {record.peak_memory / 1e9:.1f} GB"
    )
    return "; ".join((text, *record.warnings))


def _same_everywhere(encoder: Encoder, identity: str, ranks: Ranks) -> None:
    """Begin with the first process's weights; raise TrainingError where another has other posts or settings."""
    if ranks.any(ranks.first_text(identity) != identity):
        raise TrainingError(
            "the processes of this training have read different posts, settings or models",
            hint="give each machine the same files and the same command line",
        )
    ranks.first_values(encoder.model.parameters())


def _fingerprint(
    encoder: Encoder, posts: TrainSet, dev: DevSet, spec: TrainingSpec, decide: DecideSpec, seed: int, source: str
) -> str:
    """Of all that moves the final weights, the order of the posts included; and weights no checkpoint holds."""
    shapes = [f"{name} {tuple(p.shape)}" for name, p in encoder.model.named_parameters()]
    frozen = (p.detach().cpu().numpy() for p in encoder.model.parameters() if not p.requires_grad)
    settings = [source, spec.model_dump_json(exclude=_FREE), decide.model_dump_json(), str(seed), str(encoder.packed)]
    arrays: list[NDArray[np.generic]] = [
        posts.labels,
        posts.weights,
        posts.pool,
        dev.labels,
        dev.readable,
        *posts.tokens,
        *dev.tokens,
    ]
    if posts.soft is not None:
        settings.append(f"{posts.soft.weight} {posts.soft.temperature}")
        arrays.append(posts.soft.targets)
    texts = [*settings, *shapes, *posts.languages, "", *dev.languages, ""]
    return checkpoint.fingerprint(chain(texts, arrays, frozen))
