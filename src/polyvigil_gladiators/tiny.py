"""Tiny encoders with random weights: folders as those of the hub, tokenizer included. Real formats, no knowledge.

Beside ``nn.pretrained`` and ``nn.translator`` the files ``tiny*.py`` alone know Hugging Face class names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from polyvigil.nn.pretrained import quiet

Kind = Literal["xlm-roberta", "deberta-v2", "bert"]


def encoder_folder(
    path: Path, kind: Kind, *, texts: Sequence[str], seed: int = 0, max_tokens: int = 48, layers: int = 2
) -> Path:
    """Write a model folder and return ``path``: it takes posts of up to ``max_tokens``.

    The vocabulary holds every word and every character of ``texts``.
    """
    tokenizer = tokenizer_of(kind, texts)
    config = config_of(kind, len(tokenizer), max_tokens=max_tokens, layers=layers)
    config.initializer_range = 0.2
    return write_random(path, config, tokenizer, seed=seed)


def write_random(
    path: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, *, seed: int, head: bool = False
) -> Path:
    """Write a model of random weights and its tokenizer; ``head`` adds a classifying one. The global random state is
    left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (AutoModelForSequenceClassification if head else AutoModel).from_config(config)  # type: ignore[no-untyped-call]
    with quiet():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path


def config_of(kind: Kind, vocabulary: int, *, max_tokens: int, layers: int = 2, hidden: int = 32) -> PreTrainedConfig:
    """A small configuration of the kind, for posts of up to ``max_tokens``."""
    if kind == "xlm-roberta":
        make, positions = partial(XLMRobertaConfig, pad_token_id=1), max_tokens + 2
        return sized(make, vocabulary, positions=positions, layers=layers, hidden=hidden)
    if kind == "bert":
        return sized(BertConfig, vocabulary, positions=max_tokens, layers=layers, hidden=hidden)
    make_deberta = partial(  # type: ignore[call-arg]  # as in mDeBERTa v3
        DebertaV2Config,
        relative_attention=True,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
    )
    return sized(make_deberta, vocabulary, positions=max_tokens, layers=layers, hidden=hidden)


def sized(
    make: Callable[..., PreTrainedConfig], vocabulary: int, *, positions: int, layers: int, hidden: int
) -> PreTrainedConfig:
    """A configuration with odd sizes: none of them equals a default of the library."""
    return make(
        vocab_size=vocabulary + 3,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=37,
        hidden_act="gelu",
        max_position_embeddings=positions,
        layer_norm_eps=1e-4,
    )


def tokenizer_of(kind: Kind, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of the kind's own class, its vocabulary made of the words and characters of ``texts``."""
    words = sorted({word for text in texts for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    if kind == "bert":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        pieces = [*special, *words, *letters, *("##" + letter for letter in letters)]
        vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
        return BertTokenizer(vocab=vocabulary, do_lower_case=False)
    pieces = ["▁" + word for word in words] + ["▁", *letters]
    scored = [(piece, -float(index)) for index, piece in enumerate(dict.fromkeys(pieces), start=1)]
    if kind == "deberta-v2":
        special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
        return DebertaV2Tokenizer(vocab=[(token, 0.0) for token in special] + scored, unk_id=3)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    return XLMRobertaTokenizer(vocab=[(token, 0.0) for token in special] + scored + [("<mask>", 0.0)])


def japanese_folder(path: Path, *, texts: Sequence[str], words: Literal["mecab", "basic"] = "mecab") -> Path:
    """A BERT with the Japanese tokenizer; ``words`` is how it splits: "mecab" needs fugashi, "basic" nothing."""
    encoder_folder(path, "bert", texts=texts)
    letters = sorted({letter for text in texts for letter in text if not letter.isspace()})
    (path / "tokenizer.json").unlink()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    (path / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    settings = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": words,
        "subword_tokenizer_type": "character",
        "mecab_kwargs": {"mecab_dic": "unidic_lite"} if words == "mecab" else None,
    }
    (path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return path
