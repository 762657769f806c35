"""Token ids in, probabilities out: the one place where an encoder is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from polyvigil.errors import BundleError
from polyvigil.nn.batching import token_batches
from polyvigil.nn.encoder import Encoder, TokenIds
from polyvigil.records import Probabilities


def probabilities(encoder: Encoder, items: Sequence[TokenIds], *, budget: int) -> Probabilities:
    """P(ADE) of each item: float64 (n_items,), in [0, 1], in the order of ``items``; dropout is off meanwhile.

    ``budget``: tokens that go through the encoder at once (1-2 thousand on a CPU, 16-64 thousand on a GPU). What an
    item is scored with moves its probability by less than 1e-5. Raises BundleError where the encoder gives NaN.
    """
    result = np.empty(len(items), dtype=np.float64)
    batches = token_batches([len(item) for item in items], budget=budget, padded=not encoder.packed)
    training = encoder.model.training
    encoder.model.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                logits = encoder.logits([items[place] for place in batch])
                result[batch] = torch.softmax(logits.double(), dim=1)[:, 1].cpu().numpy()
    finally:
        encoder.model.train(training)
    bad = int(np.isnan(result).sum())
    if bad:
        raise BundleError(
            f"the encoder gives no number for {bad} of {len(items)} posts",
            hint="its weights hold NaN or overflow: train it again in fp32 or bf16, with a lower learning rate",
        )
    return result
