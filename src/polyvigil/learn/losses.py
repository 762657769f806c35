"""Losses of posts, one value for each: the caller sums them and divides by the posts of the step.

First those of two-class logits, then that of a batch: of the pooled P of a post's windows, and of what a teacher says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy as _cross_entropy
from torch.nn.functional import log_softmax
from torch.utils.checkpoint import checkpoint

from polyvigil.config.model import TRAINED_POOLING, Pooling
from polyvigil.config.training import TrainingSpec
from polyvigil.learn.distil import SoftTargets
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.step import Stepper, autocast, parts, windows_of
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.pooling import pooled_logits
from polyvigil.nn.windows import TokenIds
from polyvigil.types import Labels

PostLoss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(n, 2) logits and (n,) int64 labels in {0, 1} -> (n,) losses >= 0, in nats, differentiable in the logits."""


def focal(logits: torch.Tensor, labels: torch.Tensor, *, alpha: float, gamma: float) -> torch.Tensor:
    """Focal loss of each post: -alpha_t (1 - p_t)^gamma log p_t. Lin et al. 2017, eq. 5; shape (n,), >= 0.

    p_t is the probability of the post's own class, alpha_t is ``alpha`` for positives and 1 - ``alpha`` for negatives.
    1 - p_t is the probability of the other class, so no difference of nearly equal numbers is taken: finite, with
    finite gradients, for logits of any size. gamma 0 and alpha .5 is half the cross-entropy.
    """
    logs = log_softmax(logits, dim=1)
    target_log = logs.gather(1, labels[:, None]).squeeze(1)
    other = logs.gather(1, 1 - labels[:, None]).squeeze(1)
    alpha_t = torch.where(labels == 1, alpha, 1.0 - alpha).to(logits.dtype)
    return -alpha_t * torch.exp(gamma * other) * target_log


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy of each post, shape (n,), torch's own. Weights of classes are weights of posts (BalanceSpec)."""
    return _cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Cross-entropy of each post against a probability of class 1 instead of a label; shape (n,), >= 0.

    ``targets`` (n,) are at ``temperature`` already (learn.distil.softened). The logits are divided by it, and the loss
    is multiplied by its square, so that gradients keep their size: Hinton et al. 2015, section 2.
    """
    logs = log_softmax(logits / temperature, dim=1)
    return -(temperature**2) * (targets * logs[:, 1] + (1 - targets) * logs[:, 0])


def per_post_loss(spec: TrainingSpec) -> PostLoss:
    """The loss that ``spec`` names, with its settings."""
    if spec.loss == "focal":
        return lambda logits, labels: focal(logits, labels, alpha=spec.alpha, gamma=spec.gamma)
    return lambda logits, labels: cross_entropy(logits, labels, label_smoothing=spec.label_smoothing)


@dataclass(frozen=True, slots=True)
class Batch:
    """The posts of one step. ``weights`` (n,) multiply the losses of the labels; a teacher's posts all weigh 1."""

    tokens: Sequence[TokenIds]
    labels: Labels
    weights: NDArray[np.float64]
    soft: SoftTargets | None = None


def post_stepper(
    encoder: Encoder, *, spec: TrainingSpec, ranks: Ranks, pooling: Pooling = TRAINED_POOLING
) -> Stepper[Batch]:
    """For posts with labels, and maybe a teacher; ``pooling`` makes a post of its windows."""
    per_post = per_post_loss(spec)

    def losses(batch: Batch, indices: NDArray[np.int64], micro_tokens: int) -> torch.Tensor:
        labels = torch.from_numpy(batch.labels[indices].astype(np.int64)).to(encoder.device)
        weights = torch.from_numpy(batch.weights[indices].astype(np.float32)).to(encoder.device)
        windows = windows_of(batch, indices)
        logits = _logits(encoder, parts(windows, micro_tokens), spec)
        pooled = pooled_logits(logits, windows.starts, pooling)
        of_posts = per_post(pooled, labels) * weights
        return of_posts if batch.soft is None else _with_teacher(of_posts, pooled, batch.soft.of(indices))

    return Stepper(encoder, spec=spec, ranks=ranks, losses=losses)


def _logits(encoder: Encoder, runs: Sequence[Sequence[TokenIds]], spec: TrainingSpec) -> torch.Tensor:
    """Logits of the windows of all runs, float32 (n_windows, 2). Of several runs the activations of one are held.

    They are computed again when the gradient comes by, with the same dropout: Gao et al. 2021 (GradCache).
    """

    def forward(_: torch.Tensor, rows: Sequence[TokenIds]) -> torch.Tensor:
        with autocast(spec, encoder.device):
            return encoder.logits(rows).float()

    here = torch.empty(0, device=encoder.device)  # tells checkpoint whose random state to keep
    if len(runs) == 1:
        return forward(here, runs[0])
    return torch.cat([checkpoint(forward, here, run, use_reentrant=False) for run in runs])


def _with_teacher(of_labels: torch.Tensor, logits: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """(1 - weight) of a post's own loss and ``weight`` of its distance to the teacher: (n,)."""
    targets = torch.from_numpy(soft.targets.astype(np.float32)).to(logits.device)
    of_teacher = soft_cross_entropy(logits, targets, temperature=soft.temperature)
    return (1 - soft.weight) * of_labels + soft.weight * of_teacher
