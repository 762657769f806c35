"""A tiny model of the NLLB family with random weights, built in the test: a folder like those of the hub."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

from polyvigil.nn.translator import CODES

_LETTERS = "abcdefghijklmnopqrstuvwxyzäöüßéабвгдежзийклмнопрстуфхцчшщъыьэюяابتجدسلم.,!?'0123456789"


def tiny_nllb(path: Path, *, languages: tuple[str, ...] = tuple(CODES.values()), seed: int = 5) -> Path:
    """Write the folder and return ``path``. Its vocabulary is letters; ``languages`` are the codes it knows. The global
    random state is left as it was."""
    vocabulary = {token: place for place, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "▁", *_LETTERS))}
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
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
