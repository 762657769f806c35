"""Token ids in, probabilities out: the one place where a model is asked, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polyvigil.errors import BundleError
from polyvigil.nn.batching import token_batches
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.pairs import PairClassifier, PairIds
from polyvigil.nn.windows import TokenIds, WindowScores, pieces
from polyvigil.types import Probabilities

_BUDGET = {"cpu": 2048}  # beyond it a CPU gains nothing
_BUDGET_OF_A_GPU = 32_768


def token_budget(device: torch.device) -> int:
    """Tokens that go through a model at once on this kind of device."""
    return _BUDGET.get(device.type, _BUDGET_OF_A_GPU)


Counted = Callable[[int, int], None]
"""Gets how many items are scored, and how many there are."""


def _uncounted(done: int, total: int) -> None:
    """Nobody asks."""


def window_scores(
    encoder: Encoder, items: Sequence[TokenIds], *, budget: int, counted: Counted = _uncounted
) -> WindowScores:
    """P(ADE) of each window of each post; ``budget`` and errors as of ``probabilities``."""
    windows = pieces(items)
    return WindowScores(probabilities(encoder, windows.rows, budget=budget, counted=counted), windows.starts)


def probabilities(
    encoder: Encoder, items: Sequence[TokenIds], *, budget: int, counted: Counted = _uncounted
) -> Probabilities:
    """P(ADE) of each item, a post of one window: float64 (n_items,), in [0, 1], in their order; dropout is off.

    ``budget``: tokens that go through the encoder at once (1-2 thousand on a CPU, 16-64 thousand on a GPU). What an
    item is scored with moves its probability by less than 1e-5. ``counted`` is called after each of these batches.
    Raises BundleError where the encoder gives NaN.
    """

    def forward(batch: NDArray[np.int64]) -> Tensor:
        logits = encoder.logits([items[index] for index in batch])
        return torch.softmax(logits.double(), dim=1)[:, 1]

    lengths = [len(item) for item in items]
    return _run_batches(encoder.model, forward, lengths, budget=budget, padded=not encoder.packed, counted=counted)


def entailments(
    classifier: PairClassifier, items: Sequence[PairIds], *, classes: Sequence[int], budget: int
) -> Probabilities:
    """P of the first of ``classes`` among them: float64 (n_items,), in [0, 1]. Otherwise as ``probabilities``."""

    def forward(batch: NDArray[np.int64]) -> Tensor:
        logits = classifier.logits([items[index] for index in batch])
        return torch.softmax(logits[:, list(classes)].double(), dim=1)[:, 0]

    return _run_batches(classifier.model, forward, [len(item.ids) for item in items], budget=budget, padded=True)


def _run_batches(
    model: nn.Module,
    forward: Callable[[NDArray[np.int64]], Tensor],
    lengths: Sequence[int],
    *,
    budget: int,
    padded: bool,
    counted: Counted = _uncounted,
) -> Probabilities:
    """What ``forward`` says of the items of each batch, (n_items,), in their order."""
    result = np.empty(len(lengths), dtype=np.float64)
    training, done = model.training, 0
    model.eval()
    try:
        with torch.inference_mode():
            for batch in token_batches(lengths, budget=budget, padded=padded):
                result[batch] = forward(batch).cpu().numpy()
                done += len(batch)
                counted(done, len(lengths))
    finally:
        model.train(training)
    bad = int(np.isnan(result).sum())
    if bad:
        raise BundleError(
            f"the encoder gives no number for {bad} of {len(result)} posts",
            hint="its weights hold NaN or overflow: train it again in fp32 or bf16, with a lower learning rate",
        )
    return result
