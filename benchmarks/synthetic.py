"""Posts of random tokens and encoders of random weights, of real sizes: XLM-R's table, the task's mix of lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForSequenceClassification,
    EuroBertConfig,
    ModernBertConfig,
    PreTrainedConfig,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

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
    lengths = mixed_lengths(draw, count)
    shares = 1 / (np.arange(len(ids)) + 2.7)
    tokens = draw.choice(ids, size=lengths.sum(), p=shares / shares.sum())
    items = np.split(tokens, np.cumsum(lengths)[:-1])
    for item in items:
        item[0], item[-1] = _SPECIAL["<s>"], _SPECIAL["</s>"]
    return items


def _normal(count: int) -> NDArray[np.float64]:
    """Quantiles of the standard normal distribution, evenly spaced: (count,)."""
    return np.array([NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)])


def texts(draw: np.random.Generator, lengths: NDArray[np.int64], vocabulary: list[str]) -> list[str]:
    """Posts of ``lengths`` tokens each, two of them special: words of ``vocabulary`` by Zipf's law, one token each."""
    count = min(DISTINCT, len(vocabulary))
    shares = 1 / (np.arange(count) + 2.7)
    chosen = draw.choice(draw.permutation(len(vocabulary))[:count], size=int(lengths.sum()), p=shares / shares.sum())
    ends = np.cumsum(lengths - 2)
    return [
        " ".join(vocabulary[place] for place in chosen[end - length : end].tolist())
        for end, length in zip(ends.tolist(), (lengths - 2).tolist(), strict=True)
    ]


def mixed_lengths(draw: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Tokens of each post in the task's mix of languages, as of ``posts``."""
    forum = round(count / 8)
    found = np.concatenate([np.exp(np.log(24) + 0.55 * _normal(count - forum)), 150 + 70 * _normal(forum)])
    return draw.permutation(found).clip(4, LONGEST).astype(np.int64)


def forum_lengths(draw: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Of German and French forum posts: about half of 256 in the mean, an eighth of them longer than that."""
    return draw.permutation(np.exp(np.log(105) + 0.78 * _normal(count))).clip(4, 1000).astype(np.int64)


def vocabulary_of(draw: np.random.Generator, count: int = VOCABULARY) -> list[str]:
    """Different words of three to eight letters, so many that with the special tokens there are ``count``."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    found: dict[str, None] = {}
    while len(found) < count:
        rows = letters[draw.integers(26, size=(count, 8))]
        found.update(
            dict.fromkeys("".join(row[:size]) for row, size in zip(rows, draw.integers(3, 9, size=count), strict=True))
        )
    return list(found)[: count - len(_SPECIAL) - 1]


ARCHITECTURES = {"xlm-roberta": "", "modernbert": "ModernBERT ", "eurobert": "EuroBERT "}
"""What the figures call each."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of an encoder; ``width``: a multiple of 64, the width of a head."""

    layers: int
    width: int
    architecture: str = "xlm-roberta"

    def __str__(self) -> str:
        return f"{ARCHITECTURES[self.architecture]}{self.layers} x {self.width}"


def config_of(size: Size, *, vocabulary: int) -> PreTrainedConfig:
    """Inside four times as wide as outside; heads as the hub's models have them: EuroBERT's reads all tokens, one by
    one, and that of mmBERT their mean."""
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.width // 64,
        "intermediate_size": 4 * size.width,
        "initializer_range": 0.05,
        "pad_token_id": PADDING,
        "bos_token_id": _SPECIAL["<s>"],
        "eos_token_id": _SPECIAL["</s>"],
    }
    if size.architecture == "modernbert":
        ends = {"cls_token_id": _SPECIAL["<s>"], "sep_token_id": _SPECIAL["</s>"]}
        return ModernBertConfig(**sizes, **ends, classifier_pooling="mean")
    if size.architecture == "eurobert":
        return EuroBertConfig(**sizes, mask_token_id=vocabulary - 1)
    return XLMRobertaConfig(**sizes, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)


def write_model(folder: Path, size: Size, *, vocabulary: int = VOCABULARY, words: list[str] | None = None) -> None:
    """An encoder of this size with random weights, and XLM-R's kind of tokenizer.

    That knows ``words`` as one token each, or without them pads and no more.
    """
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config_of(size, vocabulary=vocabulary)).save_pretrained(folder)
    pieces = [(f"▁{word}", -float(np.log(place + 2))) for place, word in enumerate(words or ())]
    vocab = [*((token, 0.0) for token in _SPECIAL), *pieces, ("<mask>", 0.0)]
    XLMRobertaTokenizer(vocab=vocab).save_pretrained(folder)


def padded(items: list[TokenIds]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, each (n_items, 256): how the paper feeds its encoder."""
    ids = torch.full((len(items), LONGEST), PADDING, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, item in enumerate(items):
        ids[row, : len(item)] = torch.from_numpy(item)
        mask[row, : len(item)] = 1
    return ids, mask
