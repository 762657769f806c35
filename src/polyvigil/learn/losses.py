"""Losses of two-class logits, one value for each post: the caller sums them and divides by the posts of the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch.nn.functional import cross_entropy as _cross_entropy
from torch.nn.functional import log_softmax

from polyvigil.config.training import TrainingSpec

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
    """Cross-entropy of each post against a probability of class 1 in place of a label; shape (n,), >= 0.

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
