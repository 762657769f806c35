"""Tiny encoders with random weights, built in the test: a folder like those of the hub, tokenizer included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

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
PACKED = ("xlm-roberta", "roberta", "bert")
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
    else:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (AutoModelForSequenceClassification if head else AutoModel).from_config(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


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
    classes = {
        "xlm-roberta": XLMRobertaConfig,
        "roberta": RobertaConfig,
        "bert": BertConfig,
        "deberta-v2": DebertaV2Config,
        "electra": ElectraConfig,
    }
    config = classes[kind](
        vocab_size=vocabulary + 3,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=37,
        hidden_act="gelu",
        max_position_embeddings=max_tokens + (2 if "roberta" in kind else 0),
        layer_norm_eps=1e-4,
    )
    if "roberta" in kind:
        config.pad_token_id = 1
    if kind == "deberta-v2":  # as in mDeBERTa v3
        config.relative_attention = True
        config.position_buckets = 8
        config.norm_rel_ebd = "layer_norm"
        config.share_att_key = True
        config.pos_att_type = ["p2c", "c2p"]
        config.position_biased_input = False
    return config


def tiny_tokenizer(kind: str, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of the kind's own class, its vocabulary made of the words and characters of ``texts``."""
    words = sorted({word for text in texts for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    if kind in {"xlm-roberta", "deberta-v2"}:
        pieces = ["▁" + word for word in words] + ["▁", *letters]
        scored = [(piece, -float(place)) for place, piece in enumerate(dict.fromkeys(pieces), start=1)]
        if kind == "deberta-v2":
            special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
            return DebertaV2Tokenizer(vocab=[(token, 0.0) for token in special] + scored, unk_id=3)
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        return XLMRobertaTokenizer(vocab=[(token, 0.0) for token in special] + scored + [("<mask>", 0.0)])
    if kind == "roberta":
        return _word_level(words)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *words, *letters, *("##" + letter for letter in letters)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocabulary, do_lower_case=False)


def _word_level(words: Sequence[str]) -> PreTrainedTokenizerFast:
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
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def ragged(lengths: Sequence[int], *, vocabulary: int, seed: int = 0) -> list[NDArray[np.int32]]:
    """Random token ids of posts with these lengths; none of them special in any of the tiny tokenizers."""
    draw = np.random.default_rng(seed)
    return [draw.integers(5, vocabulary, size=length, dtype=np.int32) for length in lengths]


def japanese_folder(path: Path, *, words: str) -> Path:
    """A BERT with the Japanese tokenizer; ``words`` is how it splits: "mecab" needs fugashi, "basic" nothing."""
    tiny_folder(path, "bert")
    letters = sorted({letter for text in TEXTS for letter in text if not letter.isspace()})
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
