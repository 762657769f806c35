"""Which items go through a model together: sorted by length, within a budget of tokens. Knows no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def token_batches(lengths: ArrayLike, *, budget: int, padded: bool = False) -> list[NDArray[np.int64]]:
    """Indices of the items of each batch, longest items first; ties keep their order. Deterministic.

    ``lengths``: tokens of each item, (n_items,), at least 0. A batch holds at most ``budget`` tokens: real ones, or
    with ``padded`` its number of items times its longest item. An item longer than the budget has a batch of its own.
    Raises ValueError when ``budget`` is below 1.
    """
    if budget < 1:
        raise ValueError(f"a budget of {budget} tokens holds nothing; it must be at least 1")
    sizes = np.asarray(lengths, dtype=np.int64)
    # neighbours of one length waste little on padding; longest first, so that what does not fit fails at once
    order = np.argsort(-sizes, kind="stable")
    batches: list[NDArray[np.int64]] = []
    start = held = longest = 0
    for position, size in enumerate(sizes[order].tolist()):
        after = longest * (position - start + 1) if padded else held + size
        if position > start and after > budget:
            batches.append(order[start:position])
            start, held, longest = position, size, size
        else:
            held, longest = held + size, max(longest, size)
    return [*batches, order[start:]] if len(order) else []


def inverse_permutation(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each item of a permutation went: ``values[order][inverse_permutation(order)]`` equals ``values``."""
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order), dtype=order.dtype)
    return inverse
