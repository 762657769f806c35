"""A backbone with a masked-language head: what of a masked token it says (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from polyvigil.errors import RecipeError
from polyvigil.nn.pretrained import (
    Read,
    TextTokenizer,
    check_sizes,
    move,
    quiet,
    read_config,
    read_masked_lm,
    read_tokenizer,
    write_folder,
)
from polyvigil.nn.source import model_folder
from polyvigil.nn.windows import TokenIds

IGNORE_INDEX = -1
"""Target of a token that is not to be named."""
_WEIGHTS = "model.safetensors"


class MaskedModel:
    """A masked-language model on its device. ``packed`` is False: posts are padded to the longest of their batch."""

    packed = False

    def __init__(self, read: Read, tokenizer: TextTokenizer, folder: Path, *, max_tokens: int) -> None:
        self.model: nn.Module = read.model
        self.max_tokens = max_tokens
        self.fresh_head = bool(read.lacking)
        """Whether the source had no head, so that it was sampled."""
        self._read = read
        self._tokenizer = tokenizer
        self._folder = folder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def to(self, device: str) -> None:
        """Move the weights; ``auto`` is a CUDA GPU where there is one, else the CPU. Raises RecipeError."""
        move(self.model, device)

    def checkpoint_layers(self) -> None:
        """See nn.encoder.Encoder."""
        model: Any = self._read.model
        model.gradient_checkpointing_enable({"use_reentrant": False})

    @property
    def mask_id(self) -> int:
        """The token that stands for a masked one."""
        return int(self._tokenizer.mask_token_id)

    @property
    def special_ids(self) -> NDArray[np.int32]:
        """Tokens that are never masked and never put in for another: (n,), sorted."""
        return np.unique(np.array(self._tokenizer.all_special_ids, dtype=np.int32))

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""
        return len(self._tokenizer)

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of normalised texts, cut to ``max_tokens``."""
        if not texts:
            return []
        encoding = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [np.array(ids, dtype=np.int32) for ids in encoding["input_ids"]]

    def losses(self, items: Sequence[TokenIds], targets: Sequence[TokenIds]) -> Tensor:
        """The sum of -ln P(target) over each item's tokens that have one: float32 (n_items,), differentiable.

        ``targets`` are of the items' shapes, NOT_ASKED where nothing is asked. The head sees the asked places alone,
        which is exact, since it looks at each place by itself.
        """
        lengths = np.array([len(item) for item in items])
        real = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(real.shape, self._tokenizer.pad_token_id or 0, dtype=np.int64)
        labels = np.full(real.shape, IGNORE_INDEX, dtype=np.int64)
        ids[real], labels[real] = np.concatenate(items), np.concatenate(targets)
        is_target = labels != IGNORE_INDEX
        if not is_target.any():  # still a function of the weights, with a gradient of 0
            return torch.zeros(len(items), device=self.device) + 0.0 * next(self.model.parameters()).sum()
        result = torch.zeros(len(items), device=self.device)
        mask = torch.from_numpy(is_target).to(self.device)
        with self._head_restricted_to(mask):
            logits: Tensor = self.model(
                input_ids=torch.from_numpy(ids).to(self.device),
                attention_mask=torch.from_numpy(real.astype(np.int64)).to(self.device),
            ).logits
        selected = logits if logits.ndim == 2 else logits[mask]
        named = torch.from_numpy(labels[is_target]).to(self.device)
        each = nn.functional.cross_entropy(selected.float(), named, reduction="none")
        return result.index_add(0, torch.from_numpy(np.nonzero(is_target)[0]).to(self.device), each)

    @contextmanager
    def _head_restricted_to(self, mask: Tensor) -> Iterator[None]:
        """Inside, the last layer of the head, which is as wide as the vocabulary, is given the asked places alone."""
        model: Any = self._read.model
        last = model.get_output_embeddings()
        if not isinstance(last, nn.Linear):  # a head that multiplies by the table of words itself
            yield
            return
        handle = last.register_forward_pre_hook(lambda _, inputs: (inputs[0][mask],))
        try:
            yield
        finally:
            handle.remove()

    def save(self, folder: Path) -> None:
        """Write configuration, weights (safetensors) and tokenizer; and the source's pooler, which this model has no
        place for but a classifier has."""
        write_folder(self._read.model, self._tokenizer, folder)
        poolers = [name for name in self._read.left if ".pooler." in f".{name}"]
        prefix = f"{self._read.model.base_model_prefix}."
        held = {prefix + name.removeprefix(prefix): tensor for name, tensor in _tensors(self._folder, poolers).items()}
        if held and (folder / _WEIGHTS).is_file():
            save_file(load_file(folder / _WEIGHTS) | held, folder / _WEIGHTS, metadata={"format": "pt"})


def _tensors(folder: Path, names: Sequence[str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")) if names else ():
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in names if name in file.keys()}  # noqa: SIM118
    return tensors


def load_masked_model(
    source: str, *, max_tokens: int, offline: bool = False, revision: str = "", seed: int = 0
) -> MaskedModel:
    """Load a model in fp32 on the CPU, from a local folder or by its name on the Hugging Face hub (``revision`` of it).

    Raises RecipeError when the source cannot be used or its tokenizer has no mask, BundleError for damaged weights.
    """
    folder = model_folder(source, offline=offline, revision=revision)
    with quiet():
        config = read_config(folder, source)
        tokenizer = read_tokenizer(folder, source)
        read = read_masked_lm(folder, source, config, seed=seed)
    check_sizes(read.model, tokenizer, source, max_tokens=max_tokens)
    if tokenizer.mask_token_id is None:
        raise RecipeError(
            "its tokenizer has no mask token", where=source, hint="choose a BERT, RoBERTa, XLM-R or DeBERTa model"
        )
    return MaskedModel(read, tokenizer, folder, max_tokens=max_tokens)
