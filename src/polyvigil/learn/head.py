"""What the head starts from: a logistic regression on the vectors of the model as it is, before any step.

A random head sends random gradients through the model in the first steps, which spoils what it knows; a small model on
few posts does not recover in two epochs (docs/decisions/0021). Source: Kumar et al. 2022, linear probing, then
fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.learn.fine_tune import TrainSet
from polyvigil.nn.batching import token_batches
from polyvigil.nn.encoder import Encoder

PENALTY = 0.003
"""C of the regression on standardised vectors: best of .0003 to .3 on two languages (docs/decisions/0021)."""
_SMALL = 1e-6


def start_head(
    encoder: Encoder, posts: TrainSet, *, budget: int, counted: Callable[[str, int, int], None] = lambda *_: None
) -> None:
    """Give the head's last layer the weights of a logistic regression on what it is given of each training post.

    Of a post in windows the first one is looked at. Posts count by their weights, times their copies; those without a
    label, whose weight is 0, do not. ``budget``: tokens that go through the model at once.
    """
    from sklearn.linear_model import LogisticRegression

    copies = np.bincount(posts.pool, minlength=len(posts.labels))
    weights = posts.weights * copies
    chosen = np.flatnonzero(weights > 0)
    first = [posts.tokens[index].reshape(-1, posts.tokens[index].shape[-1])[0] for index in chosen.tolist()]
    vectors = head_inputs(encoder, first, budget=budget, counted=partial(counted, "scoring training posts"))
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0) + _SMALL
    probe = LogisticRegression(C=PENALTY, max_iter=1000)
    probe.fit((vectors - mean) / scale, posts.labels[chosen], sample_weight=weights[chosen])
    slope = probe.coef_[0] / scale
    offset = float(probe.intercept_[0] - slope @ mean)
    layer = encoder.head_layer()
    with torch.no_grad():  # half of the log-odds for the class, half against the other
        layer.weight.copy_(torch.from_numpy(np.stack([-slope / 2, slope / 2])))
        layer.bias.copy_(torch.tensor([-offset / 2, offset / 2]))


def head_inputs(
    encoder: Encoder,
    items: Sequence[NDArray[np.int32]],
    *,
    budget: int,
    counted: Callable[[int, int], None] = lambda *_: None,
) -> NDArray[np.float64]:
    """What the last layer is given of each item, one window, without dropout: (n_items, width), in their order."""
    rows: NDArray[np.float64] | None = None
    done = 0
    with encoder.without_last_layer(), torch.inference_mode():
        for batch in token_batches([len(item) for item in items], budget=budget, padded=not encoder.packed):
            vectors = encoder.logits([items[index] for index in batch]).double().cpu().numpy()
            rows = np.empty((len(items), vectors.shape[1])) if rows is None else rows
            rows[batch] = vectors
            done += len(batch)
            counted(done, len(items))
    return np.empty((0, 0)) if rows is None else rows
