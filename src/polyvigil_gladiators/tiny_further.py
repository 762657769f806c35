"""Tiny models of the further kinds, with random weights: NLI, GLiNER2, NLLB."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

from polyvigil.config.model import HYPOTHESES
from polyvigil.nn.pretrained import quiet
from polyvigil.nn.translator import CODES
from polyvigil_gladiators.tiny import Kind, config_of, tokenizer_of

XNLI = ("entailment", "neutral", "contradiction")
_LETTERS = "abcdefghijklmnopqrstuvwxyzäöüßéабвгдежзийклмнопрстуфхцчшщъыьэюяابتجدسلم.,!?'0123456789"


def nli_folder(
    path: Path,
    kind: Kind = "deberta-v2",
    *,
    texts: Sequence[str],
    labels: Sequence[str] = XNLI,
    max_tokens: int = 96,
    seed: int = 0,
) -> Path:
    """Write an NLI model of ``kind`` whose classes have these names, and return ``path``."""
    tokenizer = tokenizer_of(kind, [*texts, *HYPOTHESES.values()])
    config = config_of(kind, len(tokenizer), max_tokens=max_tokens)
    config.initializer_range = 0.3
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: number for number, name in enumerate(labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
        for parameter in model.parameters():
            if not parameter.any():  # biases start at 0 and would hide a mistake about them
                torch.nn.init.normal_(parameter, std=0.3)
    with quiet():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path


def gliner_folder(path: Path, *, texts: Sequence[str], seed: int = 0) -> Path:
    """Write a GLiNER2 model over a tiny DeBERTa and return ``path``; its scores differ from word to word."""
    library = import_module("gliner2")
    tokenizer = tokenizer_of("deberta-v2", [*texts, "medicine side effect adverse drug reaction entities"])
    encoder = config_of("deberta-v2", len(tokenizer) + 30, max_tokens=256, layers=1)
    config = library.ExtractorConfig(model_name="tiny", max_width=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = library.SpanExtractor(config, encoder_config=encoder, tokenizer=tokenizer).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.12)
    with quiet():
        model.save_pretrained(path)
    return path


def nllb_folder(path: Path, *, languages: Sequence[str] = tuple(CODES.values()), seed: int = 5) -> Path:
    """Write a model of the NLLB family and return ``path``. Its vocabulary is letters; ``languages`` are the codes it
    knows. The global random state is left as it was."""
    vocabulary = {token: index for index, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "▁", *_LETTERS))}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=list(languages))
    config = M2M100Config(
        vocab_size=len(tokenizer) + 3,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        max_position_embeddings=1024,
        init_std=0.6,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = M2M100ForConditionalGeneration(config)
        model.generation_config.num_beams = 7  # settings of a folder that must not be heeded
        model.generation_config.max_length = 9
    with quiet():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path
