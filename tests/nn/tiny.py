"""Tiny encoders with random weights: those of the program (polyvigil_gladiators.tiny), and further kinds for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    DistilBertConfig,
    ElectraConfig,
    EuroBertConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from polyvigil_gladiators import tiny

TEXTS = (
    "I got a terrible headache from the new tablets",
    "No side effects so far, I feel fine",
    "Seit der Spritze ist mir schwindlig und übel",
    "Je prends ce médicament depuis lundi",
    "薬を飲んだら眠れなくなった",
    "От таблеток болит живот",
    "吃药后头晕",
    "@USER [URL] :( 20 mg",
)
PACKED = ("xlm-roberta", "roberta", "bert", "modernbert", "eurobert")
REACH = 4
"""How far a token of a local layer of the tiny ModernBERT sees, each way."""
STOCK = ("deberta-v2", "electra", "distilbert")
KINDS = PACKED + STOCK


def tiny_folder(
    path: Path,
    kind: str,
    *,
    texts: Sequence[str] = TEXTS,
    seed: int = 0,
    head: bool = False,
    max_tokens: int = 48,
    layers: int = 2,
    hidden: int = 32,
    spread: float = 0.2,
    dropout: float = 0.1,
) -> Path:
    """Write a model folder of ``kind`` (one of KINDS) and return ``path``: it takes posts of up to ``max_tokens``.

    The vocabulary holds every word and every character of ``texts``; ``spread`` is the standard deviation of the
    weights; ``head`` adds a two-class head. The global random state is left as it was.
    """
    tokenizer = tiny_tokenizer(kind, texts)
    config = tiny_config(kind, len(tokenizer), max_tokens=max_tokens, layers=layers, hidden=hidden)
    config.initializer_range = spread
    if kind == "distilbert":
        config.dropout = config.attention_dropout = dropout
    elif kind == "modernbert":
        config.embedding_dropout = config.mlp_dropout = config.attention_dropout = config.classifier_dropout = dropout
    elif kind == "eurobert":
        config.attention_dropout = dropout
    else:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    return tiny.write_random(path, config, tokenizer, seed=seed, head=head)


def tiny_config(kind: str, vocabulary: int, *, max_tokens: int, layers: int, hidden: int) -> PreTrainedConfig:
    """A config with odd sizes: nothing in it equals a default of the library."""
    if kind == "distilbert":
        return DistilBertConfig(
            vocab_size=vocabulary + 3,
            dim=hidden,
            n_layers=layers,
            n_heads=4,
            hidden_dim=37,
            max_position_embeddings=max_tokens,
        )
    if kind in {"modernbert", "eurobert"}:
        return _with_rotary_positions(kind, vocabulary, max_tokens=max_tokens, layers=layers, hidden=hidden)
    if kind == "roberta":
        make = partial(RobertaConfig, pad_token_id=1)
        return tiny.sized(make, vocabulary, positions=max_tokens + 2, layers=layers, hidden=hidden)
    if kind == "electra":
        return tiny.sized(ElectraConfig, vocabulary, positions=max_tokens, layers=layers, hidden=hidden)
    return tiny.config_of(kind, vocabulary, max_tokens=max_tokens, layers=layers, hidden=hidden)


def _with_rotary_positions(
    kind: str, vocabulary: int, *, max_tokens: int, layers: int, hidden: int
) -> PreTrainedConfig:
    """The first of three layers is global in ModernBERT; two heads of EuroBERT share keys and values."""
    sizes = {
        "vocab_size": vocabulary + 3,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 37,
        "max_position_embeddings": max_tokens,
    }
    if kind == "modernbert":
        named = {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
        return ModernBertConfig(**sizes, **named, local_attention=2 * REACH, norm_eps=1e-4)
    named = {"pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 2, "mask_token_id": 4}  # padding is the last token
    return EuroBertConfig(**sizes, **named, num_key_value_heads=2, rms_norm_eps=1e-4)


def tiny_tokenizer(kind: str, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of the kind's own class, its vocabulary made of the words and characters of ``texts``."""
    if kind in {"roberta", "eurobert"}:
        words = sorted({word for text in texts for word in text.split()})
        return _word_level(words, padding="<pad>" if kind == "roberta" else "</s>")
    return tiny.tokenizer_of("bert" if kind in {"electra", "distilbert", "modernbert"} else kind, texts)


def _word_level(words: Sequence[str], *, padding: str) -> PreTrainedTokenizerFast:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys([*special, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        pad_token=padding,
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def ragged(lengths: Sequence[int], *, vocabulary: int, seed: int = 0) -> list[NDArray[np.int32]]:
    """Random token ids of posts with these lengths; none of them special in any of the tiny tokenizers."""
    draw = np.random.default_rng(seed)
    return [draw.integers(5, vocabulary, size=length, dtype=np.int32) for length in lengths]


japanese_folder = partial(tiny.japanese_folder, texts=TEXTS)
