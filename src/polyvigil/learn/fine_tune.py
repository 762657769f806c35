"""Fine-tuning of an encoder on labelled posts: dev posts scored after each epoch, the best epoch's weights kept.

In: an encoder, tokenised train and dev posts, settings, a seed. Out: the encoder with the weights of its best epoch, or
of its last one, and a log. The loop itself is ``learn.loop.fit_epochs``; here is what an epoch of fine-tuning ends
with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import TRAINED_POOLING, Pooling
from polyvigil.config.training import RESUMABLE_SETTINGS, TrainingSpec
from polyvigil.detect.base import EpochRecord, TrainingLog
from polyvigil.errors import TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.checkpoint import Progress
from polyvigil.learn.checkpoint_manager import CheckpointManager, ResumeState, load_weights, trained
from polyvigil.learn.dev import DevSet, judge
from polyvigil.learn.distil import SoftTargets
from polyvigil.learn.loop import TrainingCallbacks, fit_epochs
from polyvigil.learn.losses import Batch, post_stepper
from polyvigil.learn.memory import peak_memory
from polyvigil.learn.ranks import Ranks, this_rank
from polyvigil.learn.sampling import epoch_order
from polyvigil.learn.schedule import StepSchedule, step_schedule
from polyvigil.learn.step import OVERFLOW
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.windows import TokenIds
from polyvigil.types import Labels

KeptEpoch = Literal["best", "last"]
"""Which epoch's weights a training ends with: of the best dev F1, or of the last epoch. A model of a fold keeps the
last: an epoch chosen on the posts that thresholds are tuned on would flatter them."""


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

    def batch(self, chosen: NDArray[np.int64]) -> Batch:
        """The posts at these indices."""
        return Batch(
            [self.tokens[index] for index in chosen],
            self.labels[chosen],
            self.weights[chosen],
            None if self.soft is None else self.soft.of(chosen),
        )


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
    keep: KeptEpoch = "best",
) -> TrainingLog:
    """Train ``encoder`` in place; it ends with the weights of the epoch of the best dev F1 (the first on ties).

    ``keep`` = last: with those of the last epoch, whatever the dev posts say. ``work``: folder of checkpoints; run
    again with the same arguments, the training goes on from the last one and ends with the weights it would have had
    (on a CPU with the same number of threads, bit by bit). ``source`` names the pretrained model; ``pooling`` makes a
    post of its windows. Raises TrainingError (no memory, no disk, numbers that overflow, checkpoints of another run).
    """
    ranks = this_rank()
    callbacks = callbacks if ranks.rank == 0 else TrainingCallbacks(stop=callbacks.stop)
    if spec.gradient_checkpointing:
        encoder.checkpoint_layers()
    stepper = post_stepper(encoder, spec=spec, ranks=ranks, pooling=pooling)
    source += pooling if keep == "best" else f"{pooling} {keep}"
    identity = _start_alike(encoder, posts, dev, spec, decide, seed, source, ranks=ranks)
    schedule = _schedule(posts, spec)
    state = fit_epochs(
        stepper,
        schedule=schedule,
        order_of=lambda epoch: epoch_order(posts.pool, posts.languages, spec=spec, seed=seed, epoch=epoch),
        batch_of=lambda chosen, _: posts.batch(chosen),
        end_epoch=partial(
            _evaluate_epoch,
            encoder=encoder,
            dev=dev,
            ranks=ranks,
            decide=decide,
            pooling=pooling,
            schedule=schedule,
            callbacks=callbacks,
            keep=keep,
        ),
        checkpoints=CheckpointManager(
            work, stepper, fingerprint=identity, minutes=spec.checkpoint_minutes, log=callbacks.log
        ),
        seed=seed,
        micro_tokens=spec.micro_tokens,
        callbacks=callbacks,
    )
    load_weights(encoder.model, state.best)
    encoder.model.eval()
    return _training_log(state, schedule, posts, encoder)


def _training_log(state: ResumeState, schedule: StepSchedule, posts: TrainSet, encoder: Encoder) -> TrainingLog:
    return TrainingLog(
        epochs=state.progress.records,
        steps_per_epoch=schedule.steps_per_epoch,
        posts_per_epoch=len(posts.pool),
        parameters=sum(p.numel() for p in encoder.model.parameters()),
        micro_tokens=state.progress.micro_tokens,
        device=str(encoder.device),
    )


def _schedule(posts: TrainSet, spec: TrainingSpec) -> StepSchedule:
    return step_schedule(
        len(posts.pool),
        epochs=spec.epochs,
        posts_per_step=spec.posts_per_step,
        peak_rate=spec.learning_rate,
        warmup=spec.warmup,
        warmup_rounding=spec.warmup_rounding,
        last_batch=spec.last_batch,
    )


def _evaluate_epoch(
    state: ResumeState,
    seconds: Callable[[], float],
    *,
    encoder: Encoder,
    dev: DevSet,
    ranks: Ranks,
    decide: DecideSpec,
    pooling: Pooling,
    schedule: StepSchedule,
    callbacks: TrainingCallbacks,
    keep: KeptEpoch,
) -> ResumeState:
    """Score the dev posts after an epoch, and keep the weights if no epoch before was as good, or in any case; see
    loop.fit_epochs."""
    progress, best = state.progress, state.best
    epoch = progress.epoch + 1
    if progress.loss == 0.0:
        raise TrainingError("every loss was exactly 0", where=f"epoch {epoch}", hint=OVERFLOW)
    verdict = judge(
        encoder,
        dev,
        ranks,
        decide=decide,
        pooling=pooling,
        budget=progress.micro_tokens,
        where=f"after epoch {epoch}",
        counted=callbacks.counted,
    )
    elapsed = seconds()
    record = EpochRecord(
        epoch=epoch,
        loss=progress.loss / progress.posts,
        learning_rate=schedule.rate(epoch * schedule.steps_per_epoch),
        dev_f1=verdict.f1,
        best=keep == "last" or all(verdict.f1 > earlier.dev_f1 for earlier in progress.records),
        seconds=elapsed,
        posts_per_second=progress.posts / elapsed,
        peak_memory=peak_memory(encoder.device),
        warnings=verdict.warnings,
    )
    callbacks.log(_epoch_message(record, schedule.epochs, chosen=record.best and keep == "best"))
    values = ("dev_f1", "posts_per_second", "peak_memory", "seconds")
    epoch_values = {"epoch": epoch, "epoch_loss": record.loss, **{name: getattr(record, name) for name in values}}
    callbacks.metrics(epoch * schedule.steps_per_epoch, epoch_values)
    if record.best:  # a copy on the CPU: the device has no room for the weights twice
        best = {name: p.detach().to("cpu", copy=True) for name, p in trained(encoder.model).items()}
    records = (*progress.records, record)
    return ResumeState(Progress(epoch=epoch, micro_tokens=progress.micro_tokens, records=records), best)


def _epoch_message(record: EpochRecord, epochs: int, *, chosen: bool) -> str:
    text = (
        f"epoch {record.epoch}/{epochs}: loss {record.loss:.4f}, lr {record.learning_rate:.1e}, "
        f"dev F1 {record.dev_f1:.3f}{' (best)' if chosen else ''}, {record.seconds:.0f} s, "
        f"{record.posts_per_second:.1f} posts/s, {record.peak_memory / 1e9:.1f} GB"
    )
    return "; ".join((text, *record.warnings))


def _start_alike(
    encoder: Encoder,
    posts: TrainSet,
    dev: DevSet,
    spec: TrainingSpec,
    decide: DecideSpec,
    seed: int,
    source: str,
    *,
    ranks: Ranks,
) -> str:
    """The run's fingerprint, the same in every process, and the first process's soft targets and weights in all.

    Raises TrainingError where another process has other posts or settings.
    """
    if posts.soft is not None:
        # each process asked the teacher itself, and last digits may differ: shared before the fingerprint reads them
        ranks.first_values([torch.from_numpy(posts.soft.targets)])
    identity = _fingerprint(encoder, posts, dev, spec, decide, seed, source)
    if ranks.any(ranks.first_text(identity) != identity):
        raise TrainingError(
            "the processes of this training have read different posts, settings or models",
            hint="give each machine the same files and the same command line",
        )
    ranks.first_values(encoder.model.parameters())
    return identity


def _fingerprint(
    encoder: Encoder, posts: TrainSet, dev: DevSet, spec: TrainingSpec, decide: DecideSpec, seed: int, source: str
) -> str:
    """Of all that moves the final weights, the order of the posts included; and weights no checkpoint holds."""
    shapes = [f"{name} {tuple(p.shape)}" for name, p in encoder.model.named_parameters()]
    frozen = (p.detach().cpu().numpy() for p in encoder.model.parameters() if not p.requires_grad)
    settings = [
        source,
        spec.model_dump_json(exclude=RESUMABLE_SETTINGS),
        decide.model_dump_json(),
        str(seed),
        str(encoder.packed),
    ]
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
