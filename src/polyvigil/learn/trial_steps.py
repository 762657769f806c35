"""A few steps of a training, thrown away: what the whole of it would take, measured on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.model import Pooling
from polyvigil.config.training import TrainingSpec
from polyvigil.detect.base import CostEstimate
from polyvigil.learn.checkpoint import Progress
from polyvigil.learn.checkpoint_manager import CheckpointManager
from polyvigil.learn.dev import DevSet
from polyvigil.learn.disk import DiskUse
from polyvigil.learn.fine_tune import TrainSet
from polyvigil.learn.loop import TrainingCallbacks, fit_epochs
from polyvigil.learn.losses import post_stepper
from polyvigil.learn.memory import peak_memory
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.sampling import epoch_order
from polyvigil.learn.schedule import StepSchedule, step_schedule
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.predict import window_scores
from polyvigil.nn.windows import TokenIds

_STEPS = 4
"""At most; the first is a warm-up and not counted where there is a second."""
_ENOUGH_SECONDS = 20.0
_DEV_POSTS = 64


def estimate_cost(
    encoder: Encoder,
    posts: TrainSet,
    dev: DevSet,
    *,
    spec: TrainingSpec,
    pooling: Pooling,
    seed: int,
    left_out: int,
    disk: DiskUse,
    full: int,
) -> CostEstimate:
    """Take a few steps with ``encoder``, which is of no use afterwards. ``left_out``: parameters that were trimmed;
    ``disk``: of this member and those after it; ``full``: posts that fill what the model reads at once.

    Raises TrainingError as a training would: no memory, numbers that overflow.
    """
    if spec.gradient_checkpointing:
        encoder.checkpoint_layers()
    schedule = step_schedule(
        len(posts.pool),
        epochs=1,
        posts_per_step=spec.posts_per_step,
        peak_rate=0.0,  # the weights stay as they are, so that no step is unlike the others
        warmup=0.0,
        last_batch=spec.last_batch,
    )
    order = epoch_order(posts.pool, posts.languages, spec=spec, seed=seed, epoch=0)
    ends = _step_ends(encoder, posts, order, schedule, spec=spec, pooling=pooling, seed=seed)
    lengths = np.array([item.size for item in posts.tokens])[order]
    tokens = int(lengths.sum())
    epoch = _seconds_per_token(ends, lengths, spec.posts_per_step) * tokens
    epoch += _dev_seconds(encoder, dev, budget=spec.micro_tokens)
    parameters = sum(p.numel() for p in encoder.model.parameters())
    return CostEstimate(
        parameters=parameters + left_out,
        trained=disk.trained + (left_out if disk.trained == parameters else 0),
        posts_per_epoch=len(order),
        steps_per_epoch=schedule.steps_per_epoch,
        tokens_per_epoch=tokens,
        full=full,
        checkpoint_bytes=disk.checkpoints,
        member_bytes=disk.member,
        most_disk=disk.most,
        seconds=spec.epochs * epoch,
        measured_steps=len(ends) - _warm_up_steps(ends),
        peak_memory=peak_memory(encoder.device),
        device=str(encoder.device),
    )


def _step_ends(
    encoder: Encoder,
    posts: TrainSet,
    order: NDArray[np.int64],
    schedule: StepSchedule,
    *,
    spec: TrainingSpec,
    pooling: Pooling,
    seed: int,
) -> list[float]:
    """Take the first steps of an epoch; the seconds from the first one's begin after which each was done."""
    ends: list[float] = []

    def is_enough(progress: Progress) -> bool:
        ends.append(progress.seconds)
        return len(ends) == min(_STEPS, schedule.steps_per_epoch) or progress.seconds >= _ENOUGH_SECONDS

    stepper = post_stepper(encoder, spec=spec, ranks=Ranks(), pooling=pooling)
    fit_epochs(
        stepper,
        schedule=schedule,
        order_of=lambda _: order,
        batch_of=lambda chosen, _: posts.batch(chosen),
        end_epoch=lambda state, _: state,  # never reached: the last step is enough
        checkpoints=CheckpointManager(None, stepper, fingerprint="", minutes=0.0, log=lambda _: None),
        seed=seed,
        micro_tokens=spec.micro_tokens,
        callbacks=TrainingCallbacks(),
        is_enough=is_enough,
    )
    return ends


def _warm_up_steps(ends: Sequence[float]) -> int:
    """Steps that are not counted: the first is slow, since kernels are chosen and memory is taken."""
    return 1 if len(ends) > 1 else 0


def _seconds_per_token(ends: Sequence[float], lengths: NDArray[np.int64], posts_per_step: int) -> float:
    """Of the steps that count. ``lengths``: tokens of each post, in the order in which the steps took them."""
    skipped = _warm_up_steps(ends)
    counted = lengths[skipped * posts_per_step : len(ends) * posts_per_step]
    return (ends[-1] - (ends[0] if skipped else 0.0)) / int(counted.sum())


def _dev_seconds(encoder: Encoder, dev: DevSet, *, budget: int) -> float:
    """Of scoring all dev posts, by the tokens of some of them."""
    some: Sequence[TokenIds] = [dev.tokens[index] for index in np.flatnonzero(dev.readable)[:_DEV_POSTS]]
    begun = time.monotonic()
    window_scores(encoder, some, budget=budget)
    return (time.monotonic() - begun) * _tokens(dev.tokens) / max(1, _tokens(some))


def _tokens(items: Sequence[TokenIds]) -> int:
    return sum(item.size for item in items)
