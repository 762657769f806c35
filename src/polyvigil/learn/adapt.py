"""Domain-adaptive pre-training: a backbone goes on learning its language from posts without labels.

Masked-language training (learn.masking) on the posts that a classifier will later read, before it is trained.
Source: Gururangan et al. 2020, "Don't stop pretraining", sections 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.config.training import RESUMABLE_SETTINGS, AdaptSpec
from polyvigil.errors import TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.checkpoint import Progress
from polyvigil.learn.checkpoint_manager import CheckpointManager, ResumeState
from polyvigil.learn.loop import TrainingCallbacks, fit_epochs
from polyvigil.learn.masking import MaskedBatch, Vocabulary, mask_tokens
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.schedule import step_schedule
from polyvigil.learn.step import Stepper, autocast
from polyvigil.nn.batching import token_batches
from polyvigil.nn.masked import MaskedModel
from polyvigil.nn.windows import TokenIds

_HELD_OUT = 2**32 - 1  # instead of a step: the masks of the held-out posts
_ORDER = 3  # what a seed is derived for, beside those of learn.sampling and learn.masking


@dataclass(frozen=True, slots=True)
class Adapted:
    """Mean loss of a masked token of the held-out posts, in nats, before and after; and what was done."""

    before: float
    after: float
    steps: int
    seconds: float
    """Of the steps and the checkpoints between them, over interrupted runs together."""
    micro_tokens: int


def adapt(
    model: MaskedModel,
    posts: Sequence[TokenIds],
    held_out: Sequence[TokenIds],
    *,
    spec: AdaptSpec,
    seed: int,
    source: str,
    work: Path | None,
    callbacks: TrainingCallbacks,
) -> Adapted:
    """Train ``model`` in place on ``posts``; ``held_out`` are only looked at.

    ``work``: folder of checkpoints; run again with the same arguments, the training goes on from the last one and ends
    with the weights it would have had (on a CPU with the same number of threads, bit by bit). ``source`` names the
    model. Raises TrainingError (no memory, no disk, numbers that overflow, checkpoints of another run) and
    InterruptError when ``callbacks.stop`` says so.
    """
    if spec.gradient_checkpointing:
        model.checkpoint_layers()
    vocabulary = Vocabulary(model.vocabulary, model.mask_id, model.special_ids)
    unseen = mask_tokens(held_out, vocabulary, share=spec.mask_share, seed=seed, step=_HELD_OUT)
    before = held_out_loss(model, unseen, spec=spec)
    callbacks.log(f"held-out masked loss before: {before:.4f}")
    stepper = Stepper(model, spec=spec, ranks=Ranks(), losses=_losses(model, spec))
    schedule = step_schedule(
        len(posts),
        epochs=spec.epochs,
        posts_per_step=spec.posts_per_step,
        peak_rate=spec.learning_rate,
        warmup=spec.warmup,
    )

    def order_of(epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng(np.random.SeedSequence([seed, epoch, _ORDER])).permutation(len(posts))

    def batch_of(chosen: NDArray[np.int64], step: int) -> MaskedBatch:
        """Masked again at every step, so that an epoch asks for other tokens than the one before."""
        return mask_tokens([posts[index] for index in chosen], vocabulary, share=spec.mask_share, seed=seed, step=step)

    identity = _fingerprint(model, posts, held_out, spec, seed, source)
    with _hints_about_adapt():
        progress = fit_epochs(
            stepper,
            schedule=schedule,
            order_of=order_of,
            batch_of=batch_of,
            end_epoch=partial(_log_epoch, epochs=spec.epochs, log=callbacks.log),
            checkpoints=CheckpointManager(
                work, stepper, fingerprint=identity, minutes=spec.checkpoint_minutes, log=callbacks.log
            ),
            seed=seed,
            micro_tokens=spec.micro_tokens,
            callbacks=callbacks,
            activity="adapting",
        ).progress
    after = held_out_loss(model, unseen, spec=spec)
    callbacks.log(f"held-out masked loss after: {after:.4f}")
    return Adapted(before, after, schedule.steps, progress.seconds, progress.micro_tokens)


def _log_epoch(state: ResumeState, _: Callable[[], float], *, epochs: int, log: Callable[[str], None]) -> ResumeState:
    """What follows an epoch (see loop.fit_epochs). There is no dev score: the last weights are the ones to keep."""
    progress = state.progress
    log(
        f"epoch {progress.epoch + 1}/{epochs}: masked loss {progress.loss / progress.posts:.4f}, "
        f"{progress.seconds:.0f} s so far"
    )
    following = Progress(epoch=progress.epoch + 1, micro_tokens=progress.micro_tokens, seconds=progress.seconds)
    return ResumeState(following, {})


@contextmanager
def _hints_about_adapt() -> Iterator[None]:
    """The loop's hints name settings of [training]; here they stand in [adapt]."""
    try:
        yield
    except TrainingError as error:
        hint = error.hint.replace("training.", "adapt.")
        raise TrainingError(error.message, where=error.where, hint=hint) from error


def held_out_loss(model: MaskedModel, batch: MaskedBatch, *, spec: AdaptSpec) -> float:
    """Mean of -ln P over the asked tokens, in eval mode. Raises TrainingError when it is no number."""
    model.model.eval()
    total = 0.0
    lengths = np.array([len(item) for item in batch.tokens], dtype=np.int64)
    with torch.inference_mode(), autocast(spec, model.device):
        for indices in token_batches(lengths, budget=spec.micro_tokens, padded=True):
            items, targets = ([side[index] for index in indices] for side in (batch.tokens, batch.targets))
            total += float(model.losses(items, targets).double().sum())
    loss = total / max(batch.n_targets, 1)
    if not math.isfinite(loss):
        raise TrainingError(
            f"the held-out masked loss is {loss}", hint="set adapt.precision = 'fp32', or a lower adapt.learning_rate"
        )
    return loss


def _losses(model: MaskedModel, spec: AdaptSpec) -> Callable[[MaskedBatch, NDArray[np.int64], int], torch.Tensor]:
    """Of each post its part in the step's mean over asked tokens, times the posts of the step (see learn.step)."""

    def losses(batch: MaskedBatch, indices: NDArray[np.int64], _: int) -> torch.Tensor:
        with autocast(spec, model.device):
            sums = model.losses([batch.tokens[index] for index in indices], [batch.targets[index] for index in indices])
        return sums * (len(batch.tokens) / max(batch.n_targets, 1))

    return losses


def _fingerprint(
    model: MaskedModel,
    posts: Sequence[TokenIds],
    held_out: Sequence[TokenIds],
    spec: AdaptSpec,
    seed: int,
    source: str,
) -> str:
    """Of all that moves the final weights, the order of the posts included."""
    shapes = [f"{name} {tuple(p.shape)}" for name, p in model.model.named_parameters()]
    settings = ["adapt", source, spec.model_dump_json(exclude=RESUMABLE_SETTINGS), str(seed), str(model.fresh_head)]
    return checkpoint.fingerprint(chain([*settings, *shapes], posts, [""], held_out))
