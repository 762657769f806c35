"""The loss of labelled posts in a step: of their windows' pooled P, and of what a teacher says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.checkpoint import checkpoint

from polyvigil.config.model import TRAINED_POOLING, Pooling
from polyvigil.config.training import TrainingSpec
from polyvigil.learn.distil import SoftTargets
from polyvigil.learn.losses import per_post_loss, soft_cross_entropy
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.step import Stepper, autocast, parts, windows_of
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.pooling import pooled_logits
from polyvigil.nn.windows import TokenIds
from polyvigil.types import Labels


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
