"""Tiny NLI models with random weights: a folder like those of the hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tests.nn.tiny import TEXTS, tiny_config, tiny_tokenizer
from transformers import AutoModelForSequenceClassification

from polyvigil.specs import HYPOTHESES

XNLI = ("entailment", "neutral", "contradiction")


def nli_folder(
    path: Path,
    kind: str = "deberta-v2",
    *,
    labels: Sequence[str] = XNLI,
    texts: Sequence[str] = TEXTS,
    max_tokens: int = 96,
    seed: int = 0,
) -> Path:
    """Write an NLI model of ``kind`` (tests.nn.tiny.KINDS) whose classes have these names, and return ``path``."""
    tokenizer = tiny_tokenizer(kind, [*texts, *HYPOTHESES.values()])
    config = tiny_config(kind, len(tokenizer), max_tokens=max_tokens, layers=2, hidden=32)
    config.initializer_range = 0.3
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: number for number, name in enumerate(labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config)
        for parameter in model.parameters():
            if not parameter.any():  # biases start at 0 and would hide a mistake about them
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def edit(path: Path, **values: object) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
