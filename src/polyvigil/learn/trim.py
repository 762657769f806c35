"""Training on a short table of word vectors: the rows of the tokens that occur, the same mathematics for less work.

A multilingual table has 250,000 rows. A token that no post holds has a gradient of exactly 0: its row adds nothing to
the norm that is clipped, its moments stay 0, and AdamW only decays it, by (1 - rate * weight decay) at each step that
is taken. The short table ends with a witness, a row of ones that no token asks for. It goes through the same steps,
epochs and checkpoints, so at the end it holds the product of these factors, and the rows left out are theirs times it.
In fp32 both products are rounded, each in its own way: by less than 1e-7 of a value for a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.learn.checkpoint import fingerprint
from polyvigil.learn.dev import DevSet
from polyvigil.learn.fine_tune import TrainSet
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.windows import TokenIds, pieces

_PROOF = 4  # posts that must get the same logits from both tables


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Posts whose token ids are rows of the encoder's short table, and the table as it was: (n_words, width), CPU.

    ``rows``: the ids that were kept, ascending: row i of the short table is row ``rows[i]`` of ``whole``, in which
    ``padding`` is that of padding. Where nothing was trimmed ``whole`` is None, and posts and encoder are as they were.
    """

    posts: TrainSet
    dev: DevSet
    rows: NDArray[np.int64]
    whole: torch.Tensor | None = None
    padding: int | None = None

    @property
    def digest(self) -> str:
        """Of what the short table and the posts no longer tell; part of what a checkpoint must agree with."""
        return "" if self.whole is None else fingerprint([self.rows, self.whole.numpy()])

    @property
    def left_out(self) -> int:
        """How many numbers fewer the model has."""
        return 0 if self.whole is None else self.whole.numel() - (len(self.rows) + 1) * self.whole.shape[1]

    def expand(self, encoder: Encoder) -> None:
        """Give ``encoder`` the whole table again: trained rows as they are now, the others decayed as they would be."""
        table = encoder.word_table()
        if self.whole is None or table is None:
            return
        short = table.weight.detach().cpu()
        whole = self.whole * short[-1]
        whole[torch.from_numpy(self.rows)] = short[:-1]
        table.padding_idx = self.padding
        _set_weight(table, whole)


def trim(encoder: Encoder, posts: TrainSet, dev: DevSet) -> Trimmed:
    """Shorten the encoder's table, in place, to the rows that training and dev posts ask for and a witness.

    Nothing is trimmed where that would not be exact or would save nothing: a table that is shared, no plain one, or
    frozen; one whose rows all occur; a model that then gives other logits. Rows whose number has a meaning stay in
    their places, that of padding is kept, and the order of the rows stays.
    """
    untouched = Trimmed(posts, dev, np.empty(0, dtype=np.int64))
    table = encoder.word_table()
    if table is None or not table.weight.requires_grad:
        return untouched
    reserved = np.arange(encoder.reserved_ids(), dtype=np.int64)
    padding = np.array([] if table.padding_idx is None else [table.padding_idx], dtype=np.int64)
    rows = np.unique(np.concatenate([reserved, padding, *(item.ravel() for item in (*posts.tokens, *dev.tokens))]))
    if len(rows) + 1 >= table.num_embeddings:
        return untouched
    short = Trimmed(
        replace(posts, tokens=_renumber(posts.tokens, rows)),
        replace(dev, tokens=_renumber(dev.tokens, rows)),
        rows,
        table.weight.detach().cpu(),
        table.padding_idx,
    )
    expected = _logits(encoder, posts.tokens)
    kept = table.weight.detach()[torch.from_numpy(rows).to(table.weight.device)]
    if table.padding_idx is not None:  # its gradient is 0
        table.padding_idx = int(np.searchsorted(rows, table.padding_idx))
    _set_weight(table, torch.cat([kept, torch.ones_like(kept[:1])]))
    if torch.allclose(_logits(encoder, short.posts.tokens), expected, rtol=1e-5, atol=1e-6):
        return short
    short.expand(encoder)
    return untouched


def _renumber(items: Sequence[TokenIds], rows: NDArray[np.int64]) -> list[TokenIds]:
    return [np.searchsorted(rows, item).astype(np.int32) for item in items]


def _set_weight(table: torch.nn.Embedding, weight: torch.Tensor) -> None:
    table.weight = torch.nn.Parameter(weight.to(table.weight.device), requires_grad=table.weight.requires_grad)
    table.num_embeddings = len(weight)


def _logits(encoder: Encoder, items: Sequence[TokenIds]) -> torch.Tensor:
    """Of the first posts' windows, one by one, without dropout."""
    encoder.model.eval()
    with torch.inference_mode():
        return torch.cat([encoder.logits([item]) for item in pieces(items[:_PROOF]).rows[:_PROOF]])
