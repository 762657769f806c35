"""Posts of random tokens and encoders of random weights, of real sizes: XLM-R's table, the task's mix of lengths."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, XLMRobertaConfig, XLMRobertaTokenizer

from polyvigil.nn.windows import TokenIds

LONGEST = 256
VOCABULARY = 250_002
"""Rows of XLM-R's table."""
DISTINCT = 60_000
"""Of them in posts of some languages; Zipf's law says how often each comes."""
PADDING = 1
_SPECIAL = {"<s>": 0, "<pad>": PADDING, "</s>": 2, "<unk>": 3}


def words(draw: np.random.Generator, *, vocabulary: int = VOCABULARY) -> NDArray[np.int32]:
    """The token ids that posts are made of, the most frequent first: (at most DISTINCT,)."""
    ids: NDArray[np.int32] = draw.permutation(np.arange(len(_SPECIAL), vocabulary - 1, dtype=np.int32))
    return ids[:DISTINCT]


def posts(draw: np.random.Generator, count: int, ids: NDArray[np.int32]) -> list[TokenIds]:
    """Token ids; seven eighths short posts (log-normal around 24 tokens), one eighth forum posts, in random order.

    Their lengths are evenly spaced quantiles, so that a few posts have the mix of many: a mean of about 42 tokens.
    """
    forum = round(count / 8)
    lengths = np.concatenate([np.exp(np.log(24) + 0.55 * _normal(count - forum)), 150 + 70 * _normal(forum)])
    lengths = draw.permutation(lengths).clip(4, LONGEST).astype(int)
    shares = 1 / (np.arange(len(ids)) + 2.7)
    tokens = draw.choice(ids, size=lengths.sum(), p=shares / shares.sum())
    items = np.split(tokens, np.cumsum(lengths)[:-1])
    for item in items:
        item[0], item[-1] = _SPECIAL["<s>"], _SPECIAL["</s>"]
    return items


def _normal(count: int) -> NDArray[np.float64]:
    """Quantiles of the standard normal distribution, evenly spaced: (count,)."""
    return np.array([NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)])


def write_model(folder: Path, *, layers: int, width: int, vocabulary: int = VOCABULARY) -> None:
    """An XLM-R of this size (``width`` a multiple of 64) with random weights, and a tokenizer that pads and no more."""
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        initializer_range=0.05,
    )
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    XLMRobertaTokenizer(vocab=[(token, 0.0) for token in (*_SPECIAL, "<mask>")]).save_pretrained(folder)


def padded(items: list[TokenIds]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, each (n_items, 256): how the paper feeds its encoder."""
    ids = torch.full((len(items), LONGEST), PADDING, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, item in enumerate(items):
        ids[row, : len(item)] = torch.from_numpy(item)
        mask[row, : len(item)] = 1
    return ids, mask
