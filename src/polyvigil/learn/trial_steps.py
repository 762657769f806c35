"""A few steps of a training, thrown away: what the whole of it would take, measured on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

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
from polyvigil.learn.schedule import step_schedule
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
    stepper = post_stepper(encoder, spec=spec, ranks=Ranks(), pooling=pooling)
    schedule = step_schedule(
        len(posts.pool),
        epochs=1,
        posts_per_step=spec.posts_per_step,
        peak_rate=0.0,  # the weights stay as they are, so that no step is unlike the others
        warmup=0.0,
        last_batch=spec.last_batch,
    )
    order = epoch_order(posts.pool, posts.languages, spec=spec, seed=seed, epoch=0)
    ends: list[float] = []  # seconds after which each step was done

    def is_enough(progress: Progress) -> bool:
        ends.append(progress.seconds)
        return len(ends) == min(_STEPS, schedule.steps_per_epoch) or progress.seconds >= _ENOUGH_SECONDS

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
    lengths = np.array([item.size for item in posts.tokens])
    skipped = 1 if len(ends) > 1 else 0  # the first step is slow: kernels are chosen, memory is taken
    counted = order[: len(ends) * spec.posts_per_step][skipped * spec.posts_per_step :]
    per_token = (ends[-1] - (ends[0] if skipped else 0.0)) / int(lengths[counted].sum())
    tokens = int(lengths[order].sum())
    parameters = sum(p.numel() for p in encoder.model.parameters())
    epoch = per_token * tokens + _dev_seconds(encoder, dev, budget=spec.micro_tokens)
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
        measured_steps=len(ends) - skipped,
        peak_memory=peak_memory(encoder.device),
        device=str(encoder.device),
    )


def _dev_seconds(encoder: Encoder, dev: DevSet, *, budget: int) -> float:
    """Of scoring all dev posts, by the tokens of some of them."""
    some: Sequence[TokenIds] = [dev.tokens[index] for index in np.flatnonzero(dev.readable)[:_DEV_POSTS]]
    begun = time.monotonic()
    window_scores(encoder, some, budget=budget)
    return (time.monotonic() - begun) * _tokens(dev.tokens) / max(1, _tokens(some))


def _tokens(items: Sequence[TokenIds]) -> int:
    return sum(item.size for item in items)
