"""A classifier of pairs of texts, such as those trained on natural language inference (NLI), with its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polyvigil.errors import RecipeError
from polyvigil.nn.pretrained import (
    Classifier,
    Config,
    TextTokenizer,
    check_sizes,
    move,
    quiet,
    read_classifier,
    read_config,
    read_tokenizer,
    write_folder,
)
from polyvigil.nn.source import model_folder


@dataclass(frozen=True, slots=True)
class PairIds:
    """Token ids of a pair, special tokens included, and to which text each belongs (0 or 1): int32 (n_tokens,)."""

    ids: NDArray[np.int32]
    types: NDArray[np.int32]


class PairClassifier:
    """A sequence classifier on its device, asked about pairs; ``labels`` are the names of its classes, in order."""

    def __init__(self, model: Classifier, tokenizer: TextTokenizer, *, max_tokens: int) -> None:
        self.model: nn.Module = model
        self.max_tokens = max_tokens
        self.labels = _labels(model.config)
        self._model = model
        self._tokenizer = tokenizer
        self._typed = (getattr(model.config, "type_vocab_size", 0) or 0) > 1  # others know no second text by a number

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def to(self, device: str) -> None:
        """Move the weights (see nn.pretrained.move)."""
        move(self.model, device)

    def tokenise(self, firsts: Sequence[str], seconds: Sequence[str]) -> list[PairIds]:
        """Each first text with its second one, cut to ``max_tokens`` by cutting the first alone.

        The second must leave room for the first (see ``token_counts``).
        """
        if not firsts:
            return []
        encoding = self._tokenizer(
            list(firsts),
            list(seconds),
            truncation="only_first",
            max_length=self.max_tokens,
            return_attention_mask=False,
            return_token_type_ids=self._typed,
            verbose=False,
        )
        ids = [np.array(row, dtype=np.int32) for row in encoding["input_ids"]]
        if not self._typed:
            return [PairIds(row, np.zeros_like(row)) for row in ids]
        types = [np.array(row, dtype=np.int32) for row in encoding["token_type_ids"]]
        return [PairIds(row, kinds) for row, kinds in zip(ids, types, strict=True)]

    def token_counts(self, firsts: Sequence[str], seconds: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of each pair were it not cut, special tokens included: (n_pairs,)."""
        if not firsts:
            return np.zeros(0, dtype=np.int32)
        encoding = self._tokenizer(
            list(firsts),
            list(seconds),
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return np.array([len(row) for row in encoding["input_ids"]], dtype=np.int32)

    def logits(self, items: Sequence[PairIds]) -> Tensor:
        """Logits of one batch, padded to its longest: float32 (n_items, n_labels) on the device, order of ``items``."""
        if not items:
            return torch.zeros(0, len(self.labels), device=self.device)
        lengths = np.array([len(item.ids) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        inputs = {
            "input_ids": _filled(mask, [item.ids for item in items], padding=self._tokenizer.pad_token_id or 0),
            "attention_mask": mask.astype(np.int64),
        }
        if self._typed:
            inputs["token_type_ids"] = _filled(mask, [item.types for item in items], padding=0)
        output = self.model(**{name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()})
        logits: Tensor = output.logits
        return logits.float()

    def save(self, folder: Path) -> None:
        """Write configuration, weights (safetensors) and tokenizer, as transformers itself would."""
        write_folder(self._model, self._tokenizer, folder)


def load_pair_classifier(source: str, *, max_tokens: int, offline: bool = False, revision: str = "") -> PairClassifier:
    """Load a classifier as nn.encoder.load_encoder does, with the head it was trained with.

    Raises RecipeError when the source cannot be used or its classes have no names, BundleError when its weights are
    damaged or incomplete.
    """
    folder = model_folder(source, offline=offline, revision=revision)
    with quiet():
        config = read_config(folder, source)
        labels = _labels(config)
        if all(name.startswith("LABEL_") for name in labels):
            raise RecipeError(
                f"its config.json names no classes (id2label is {', '.join(labels)})",
                where=source,
                hint="choose a model trained for natural language inference, such as "
                "MoritzLaurer/mDeBERTa-v3-base-mnli-xnli, or write its classes into id2label",
            )
        tokenizer = read_tokenizer(folder, source)
        model = read_classifier(folder, source, config, seed=0, fresh_head=False)
    check_sizes(model, tokenizer, source, max_tokens=max_tokens)
    tokenizer.model_max_length = max_tokens  # saved with it
    return PairClassifier(model, tokenizer, max_tokens=max_tokens)


def _labels(config: Config) -> tuple[str, ...]:
    names = {int(number): str(name) for number, name in (config.id2label or {}).items()}
    return tuple(names[number] for number in sorted(names))


def _filled(mask: NDArray[np.bool_], rows: Sequence[NDArray[np.int32]], *, padding: int) -> NDArray[np.int64]:
    array = np.full(mask.shape, padding, dtype=np.int64)
    array[mask] = np.concatenate(rows)
    return array
