"""A tiny GLiNER2 model with random weights: a folder like those of the hub."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch
from tests.nn.tiny import TEXTS, tiny_config, tiny_tokenizer


def gliner_folder(path: Path, *, texts: Sequence[str] = TEXTS, seed: int = 0) -> Path:
    """Write a GLiNER2 model over a tiny DeBERTa and return ``path``; its scores differ from word to word."""
    library = import_module("gliner2")
    tokenizer = tiny_tokenizer("deberta-v2", [*texts, "medicine side effect adverse drug reaction entities"])
    encoder = tiny_config("deberta-v2", len(tokenizer) + 30, max_tokens=256, layers=1, hidden=32)
    config = library.ExtractorConfig(model_name="tiny", max_width=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = library.SpanExtractor(config, encoder_config=encoder, tokenizer=tokenizer).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.12)
    model.save_pretrained(path)
    return path
