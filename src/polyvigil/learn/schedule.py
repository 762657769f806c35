"""The learning rate as a function of the step, and which weights decay. Nothing here has a state to save."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

_NO_DECAY = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.|_)norm(?:$|\.)")  # the patterns of Transformers' Trainer


def steps_per_epoch(posts: int, *, posts_per_step: int, last_batch: Literal["kept", "dropped"] = "kept") -> int:
    """Optimiser steps of one epoch over ``posts`` posts, copies included; at least 1.

    ``dropped``: posts that do not fill a step are left out, as by the paper's code (54,503 posts: 1,703 steps of 32).
    """
    return max(1, posts // posts_per_step) if last_batch == "dropped" else math.ceil(posts / posts_per_step)


def warmup_steps(share: float, *, steps: int, rounding: Literal["up", "down"] = "up") -> int:
    """Steps of the warm-up: ``share`` of all steps, rounded up as by Transformers' Trainer, or down as by the paper."""
    return int(share * steps) if rounding == "down" else math.ceil(share * steps)


def warmup_cosine(step: int, *, steps: int, warmup: int) -> float:
    """Share of the peak rate, in [0, 1], used by the step with ``step`` steps before it; 0 at ``steps``.

    Linear from 0 over ``warmup`` steps, then half a cosine to zero: equal at every step to Transformers'
    get_cosine_schedule_with_warmup. So the first step of a warm-up has rate 0.
    """
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True, slots=True)
class StepSchedule:
    """Which steps a training takes, and at which rate each."""

    epochs: int
    posts_per_step: int
    steps_per_epoch: int
    posts_per_epoch: int
    """Posts that the steps of an epoch see, copies included."""
    warmup: int
    peak_rate: float

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.epochs * self.steps_per_epoch

    def is_logged(self, step: int) -> bool:
        """Whether values are logged after this many steps: after about every hundredth of an epoch."""
        return step % max(1, self.steps_per_epoch // 100) == 0

    def rate(self, step: int) -> float:
        """Learning rate of the step with ``step`` steps before it; 0 at ``steps``."""
        return self.peak_rate * warmup_cosine(step, steps=self.steps, warmup=self.warmup)

    def steps_taken(self, *, epoch: int, step: int) -> int:
        """Steps after ``epoch`` epochs and ``step`` steps of the next one: the number of the step that follows."""
        return epoch * self.steps_per_epoch + step

    def posts_left(self, *, epoch: int, posts: int) -> int:
        """Posts still to be trained on after ``epoch`` epochs and ``posts`` posts of the next one."""
        return (self.epochs - epoch) * self.posts_per_epoch - posts


def step_schedule(
    posts: int,
    *,
    epochs: int,
    posts_per_step: int,
    peak_rate: float,
    warmup: float,
    warmup_rounding: Literal["up", "down"] = "up",
    last_batch: Literal["kept", "dropped"] = "kept",
) -> StepSchedule:
    """The steps of ``epochs`` passes over ``posts`` posts, copies included; ``warmup``: share of all steps, [0, 1]."""
    steps = steps_per_epoch(posts, posts_per_step=posts_per_step, last_batch=last_batch)
    return StepSchedule(
        epochs=epochs,
        posts_per_step=posts_per_step,
        steps_per_epoch=steps,
        posts_per_epoch=min(posts, steps * posts_per_step),
        warmup=warmup_steps(warmup, steps=epochs * steps, rounding=warmup_rounding),
        peak_rate=peak_rate,
    )


def parameter_groups(
    model: torch.nn.Module, *, weight_decay: float, on: Literal["weights", "all"] = "weights"
) -> list[dict[str, object]]:
    """AdamW's groups: weights that decay, then biases and layer norms, which do not (as Transformers' Trainer).

    ``on="all"``: one group, in which everything decays (the paper's code).
    """
    if on == "all":
        return [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": weight_decay}]
    import torch  # only here, so that steps are counted where torch is not installed (learn.estimate)

    in_norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, torch.nn.LayerNorm)
        for parameter in module.parameters()
    }
    groups: tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]] = ([], [])
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            exempt = id(parameter) in in_norms or _NO_DECAY.search(name.lower()) is not None
            groups[exempt].append(parameter)
    decay, no_decay = groups
    return [{"params": decay, "weight_decay": weight_decay}, {"params": no_decay, "weight_decay": 0.0}]
