"""From the windows of a post to the post: one P(ADE) of several, in training (logits) and scoring (probabilities).

A post mentions an ADE if one of its windows does, and nobody labelled the windows: multiple-instance learning, a post
being a bag (Dietterich et al. 1997). ``max`` and ``mean`` are its usual poolings; ``noisy-or``, 1 - prod(1 - p_i), is
the P that any window holds one if they were independent (Maron and Lozano-Pérez 1998; Ilse et al. 2018, section 2).
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from polyvigil.config.model import Pooling

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
_SMALL = -15.0  # below it softplus(z) is exp(z), and expm1(t) is t, to the last bit of float32


def pooled_logits(logits: Tensor, starts: NDArray[np.int64], pooling: Pooling) -> Tensor:
    """(n_windows, 2) logits, post after post -> (n_posts, 2), whose softmax is the posts' P; differentiable.

    Those of a post of one window stay as they are. Finite, with finite gradients, for logits of any size.
    """
    counts = np.diff(starts)
    if (counts == 1).all():
        return logits
    posts = []
    for first, count in zip(starts[:-1].tolist(), counts.tolist(), strict=True):
        rows = logits[first : first + count]
        if count == 1:
            posts.append(rows[0])
        else:
            odds = pooled_log_odds(rows[:, 1] - rows[:, 0], pooling)
            posts.append(torch.stack([torch.zeros_like(odds), odds]))
    return torch.stack(posts)


def pooled_log_odds(z: Tensor, pooling: Pooling) -> Tensor:
    """Log-odds of one post from those of its windows, (n_windows,) -> scalar."""
    if pooling == "max":
        return z.max()
    if pooling == "mean":
        return torch.logsumexp(logsigmoid(z), dim=0) - torch.logsumexp(logsigmoid(-z), dim=0)
    # -log(1 - p) is softplus(z), so the sum of the softplus is the post's: its log-odds are log(expm1(sum)).
    log_sum = torch.logsumexp(torch.where(z < _SMALL, z, softplus(z.clamp(min=_SMALL)).log()), dim=0)
    total = log_sum.clamp(min=_SMALL).exp()
    return torch.where(log_sum < _SMALL, log_sum, total + torch.log(-torch.expm1(-total)))
