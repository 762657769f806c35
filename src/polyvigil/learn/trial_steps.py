"""A few steps of a training, thrown away: what the whole of it would take, measured on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from polyvigil.config.model import Pooling
from polyvigil.config.training import TrainingSpec
from polyvigil.detect.base import CostEstimate
from polyvigil.learn.dev import DevSet
from polyvigil.learn.disk import DiskUse
from polyvigil.learn.loop import TrainSet
from polyvigil.learn.memory import forget_peak, peak_memory
from polyvigil.learn.post_loss import Batch, post_stepper
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.sampling import epoch_order, step_seed
from polyvigil.learn.schedule import steps_per_epoch
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
    order = epoch_order(posts.pool, posts.languages, spec=spec, seed=seed, epoch=0)
    steps = steps_per_epoch(len(order), posts_per_step=spec.posts_per_step, last_batch=spec.last_batch)
    lengths = np.array([item.size for item in posts.tokens])
    forget_peak(encoder.device)
    encoder.model.train()
    taken: list[tuple[float, int]] = []
    while len(taken) < min(_STEPS, steps) and sum(seconds for seconds, _ in taken) < _ENOUGH_SECONDS:
        chosen = order[len(taken) * spec.posts_per_step :][: spec.posts_per_step]
        begun = time.monotonic()
        stepper.step(
            Batch(
                [posts.tokens[index] for index in chosen],
                posts.labels[chosen],
                posts.weights[chosen],
                None if posts.soft is None else posts.soft.of(chosen),
            ),
            rate=0.0,
            seed=step_seed(seed, len(taken), rank=0),
            micro_tokens=spec.micro_tokens,
            where=f"rehearsal, step {len(taken) + 1}",
        )
        taken.append((time.monotonic() - begun, int(lengths[chosen].sum())))
    counted = taken[1:] or taken
    per_token = sum(seconds for seconds, _ in counted) / sum(tokens for _, tokens in counted)
    tokens = int(lengths[order].sum())
    parameters = sum(p.numel() for p in encoder.model.parameters())
    epoch = per_token * tokens + _dev_seconds(encoder, dev, budget=spec.micro_tokens)
    return CostEstimate(
        parameters=parameters + left_out,
        trained=disk.trained + (left_out if disk.trained == parameters else 0),
        posts_per_epoch=len(order),
        steps_per_epoch=steps,
        tokens_per_epoch=tokens,
        full=full,
        checkpoint_bytes=disk.checkpoints,
        member_bytes=disk.member,
        most_disk=disk.most,
        seconds=spec.epochs * epoch,
        measured_steps=len(counted),
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
