"""The one training loop: epochs of optimiser steps with checkpoints between them, exactly resumable.

In: a stepper (learn.step: a model, its loss, AdamW), a schedule of rates, and functions that say which posts a step
sees and what follows an epoch. Out: the model with other weights, and where the run ended. Fine-tuning
(learn.fine_tune), masked adaptation (learn.adapt) and cost estimates (learn.trial_steps) are this loop with other
functions. What always holds: a run that was stopped and goes on ends with the weights of one that was not, since
everything a step depends on follows from the seed and the number of the step, or is in the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from polyvigil.errors import InterruptError
from polyvigil.learn.checkpoint import Progress
from polyvigil.learn.checkpoint_manager import CheckpointManager, ResumeState
from polyvigil.learn.memory import forget_peak
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.sampling import step_seed
from polyvigil.learn.schedule import StepSchedule
from polyvigil.learn.step import B, Stepper, StepResult
from polyvigil.progress import MetricsLog


@dataclass(frozen=True, slots=True)
class TrainingCallbacks:
    """Functions that the loop calls. ``progress`` gets steps done, steps in all, posts per second, seconds left;
    ``metrics`` the optimiser steps taken and values by name;
    ``counted`` what is done to posts beside the steps, to how many it was done, and how many there are."""

    log: Callable[[str], None] = lambda _: None
    progress: Callable[[int, int, float, float], None] = lambda *_: None
    counted: Callable[[str, int, int], None] = lambda *_: None
    stop: Callable[[], bool] = lambda: False
    """Asked after each step, in every process; True in any of them saves a checkpoint, and all end with InterruptError.
    The other functions are called in the first process alone."""
    metrics: MetricsLog = lambda *_: None


def _never(_: Progress) -> bool:
    return False


def fit_epochs(
    stepper: Stepper[B],
    *,
    schedule: StepSchedule,
    order_of: Callable[[int], NDArray[np.int64]],
    batch_of: Callable[[NDArray[np.int64], int], B],
    end_epoch: Callable[[ResumeState, Callable[[], float]], ResumeState],
    checkpoints: CheckpointManager,
    seed: int,
    micro_tokens: int,
    callbacks: TrainingCallbacks,
    activity: str = "training",
    is_enough: Callable[[Progress], bool] = _never,
) -> ResumeState:
    """Take the steps of ``schedule`` that the checkpoints say are still to be taken; where the run stands afterwards.

    ``order_of`` gives the indices of the posts in the order of an epoch (from 0), ``batch_of`` the batch of some
    indices at a step (from 0, over all epochs): both the same whenever they are called. ``end_epoch`` is given where
    the run stands after the last step of an epoch and a function that says how many seconds the epoch has taken so
    far; it evaluates, logs, and returns where the next epoch begins. ``micro_tokens``: tokens on the device at once, to
    begin with. ``is_enough`` is asked after each step, and True ends the run there: a trial.

    Raises InterruptError where ``callbacks.stop`` says so in any process, and TrainingError as the stepper and the
    checkpoints do.
    """
    if stepper.is_slow_here:
        callbacks.log(f"this CPU has no {stepper.spec.precision} arithmetic: fp32 is many times faster on it")
    state = checkpoints.resume(micro_tokens=micro_tokens)
    clock = _Clock(left=schedule.posts_left(epoch=state.progress.epoch, posts=state.progress.posts))

    while (progress := state.progress).epoch < schedule.epochs:
        forget_peak(stepper.device)
        stepper.encoder.model.train()  # evaluation at the end of an epoch leaves it in eval mode
        order = order_of(progress.epoch)

        while progress.step < schedule.steps_per_epoch:
            taken = schedule.steps_taken(epoch=progress.epoch, step=progress.step)
            chosen = order[progress.step * schedule.posts_per_step :][: schedule.posts_per_step]
            result = stepper.step(
                batch_of(chosen, taken),
                rate=schedule.rate(taken),
                # dropout differs between processes, whose posts differ; no state of a generator has to be stored
                seed=step_seed(seed, taken, rank=stepper.ranks.rank),
                micro_tokens=progress.micro_tokens,
                where=f"epoch {progress.epoch + 1}, step {progress.step + 1}",
            )
            if result.micro_tokens != progress.micro_tokens:
                callbacks.log(
                    f"out of memory: from here on {result.micro_tokens} tokens at once; the mathematics is the same"
                )
            progress = _after_step(progress, result, posts=len(chosen), seconds=clock.lap(len(chosen)))
            state = ResumeState(progress, state.best)
            if is_enough(progress):
                return state
            callbacks.progress(taken + 1, schedule.steps, clock.rate, clock.seconds_left)
            if schedule.is_logged(taken + 1):
                rate = schedule.rate(taken + 1)
                callbacks.metrics(taken + 1, {"loss": result.loss / len(chosen), "learning_rate": rate})
            _save_or_stop(state, checkpoints, stepper.ranks, callbacks.stop, activity)

        state = end_epoch(state, partial(clock.seconds_after, progress.seconds))
        checkpoints.keep(state.progress, state.best)  # after the evaluation, which is never done twice
    return state


def _after_step(progress: Progress, result: StepResult, *, posts: int, seconds: float) -> Progress:
    """How far the run is, one step of ``posts`` posts later."""
    return progress.model_copy(
        update={
            "step": progress.step + 1,
            "posts": progress.posts + posts,
            "loss": progress.loss + result.loss,
            "seconds": progress.seconds + seconds,
            "micro_tokens": result.micro_tokens,  # what fitted once is tried first from here on
        }
    )


def _save_or_stop(
    state: ResumeState, checkpoints: CheckpointManager, ranks: Ranks, stop: Callable[[], bool], activity: str
) -> None:
    """Save a checkpoint where one is due; raise InterruptError, with a checkpoint, where any process is to stop."""
    stopped = ranks.any(stop())  # a signal may have reached one process alone: all end together
    if stopped or checkpoints.due():
        checkpoints.keep(state.progress, state.best)
    if stopped:
        raise InterruptError(f"{activity} was stopped", hint="run the same command again: it goes on from here")


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

    def seconds_after(self, before: float) -> float:
        """``before``, and the seconds since the last lap."""
        return before + self.lap(0)

    @property
    def rate(self) -> float:
        return self.done / max(self.marked - self.begun, 1e-9)

    @property
    def seconds_left(self) -> float:
        return self.left / max(self.rate, 1e-9)
