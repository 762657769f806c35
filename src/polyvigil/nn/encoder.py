"""Backbone, two-class head and tokenizer as one thing: the only file that knows Hugging Face class names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from polyvigil.errors import BundleError, RecipeError
from polyvigil.nn.packed import Plan, packed_logits, plan_for
from polyvigil.nn.source import model_folder

TokenIds: TypeAlias = NDArray[np.int32]
"""Token ids of one post, special tokens included: (n_tokens,)."""

LABELS = {0: "no_ade", 1: "ade"}

_hide_bars: Callable[[], None] = logging.disable_progress_bar
_show_bars: Callable[[], None] = logging.enable_progress_bar


class Encoder:
    """A sequence classifier on its device. ``model`` is the ordinary transformers module: train, move, count it so."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int, plan: Plan | None
    ) -> None:
        self.model: nn.Module = model
        self.max_tokens = max_tokens
        self._model = model
        self._tokenizer = tokenizer
        self._plan = plan

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def to(self, device: str) -> None:
        """Move the weights; ``auto`` is a CUDA GPU where there is one, else the CPU. Raises RecipeError."""
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        try:
            self.model.to(chosen)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
            reason = str(error).splitlines()[0]
            raise RecipeError(f"the device cannot be used ({reason})", where=device, hint="try cpu") from error

    @property
    def packed(self) -> bool:
        """Whether posts run without padding (``nn.packed``); if not, they are padded to the longest of their batch."""
        return self._plan is not None

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of normalised texts, cut to ``max_tokens``."""
        return [np.array(ids, dtype=np.int32) for ids in self._ids(texts, cut=True)]

    def token_counts(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of each text were it not cut, special tokens included: (n_texts,)."""
        return np.array([len(ids) for ids in self._ids(texts, cut=False)], dtype=np.int32)

    def logits(self, items: Sequence[TokenIds]) -> Tensor:
        """Logits of one micro-batch: float32 (n_items, 2) on the device, order of ``items``; differentiable.

        All items run at once: the caller decides how many fit. Each holds 1 to ``max_tokens`` ids. Raises ValueError
        for an item without ids, which no tokenizer with special tokens makes.
        """
        if not items:
            return torch.zeros(0, len(LABELS), device=self.device)
        if not all(map(len, items)):
            raise ValueError("an item holds no token ids")
        if self._plan is not None:
            return packed_logits(self.model, self._plan, items, self.device)
        return self._padded_logits(items)

    def checkpoint_layers(self) -> None:
        """From now on, training keeps no activations inside layers and computes them again: less memory, more time."""
        enable = getattr(self._model, "activation_checkpointing_enable", None)  # its newer name
        (enable or self._model.gradient_checkpointing_enable)({"use_reentrant": False})

    def word_table(self) -> nn.Embedding | None:
        """The table of word vectors, (n_words, width); None where it is no plain one or shares its memory."""
        table = self._model.get_input_embeddings()
        if type(table) is not nn.Embedding or table.sparse or table.max_norm is not None:
            return None
        memory = table.weight.untyped_storage().data_ptr()
        named = self.model.named_parameters(remove_duplicate=False)
        users = sum(parameter.untyped_storage().data_ptr() == memory for _, parameter in named)
        return table if users == 1 else None

    def reserved_ids(self) -> int:
        """Token ids below this may mean something to the model by their number, as that of padding does."""
        named = [value for key, value in self._model.config.to_dict().items() if key.endswith("_token_id")]
        inside = [part.padding_idx for part in self.model.modules() if isinstance(part, nn.Embedding)]
        return 1 + max((n for n in (self._tokenizer.pad_token_id, *named, *inside) if isinstance(n, int)), default=-1)

    def save(self, folder: Path) -> None:
        """Write configuration, weights (safetensors) and tokenizer, as transformers itself would."""
        with _quiet():
            self._model.save_pretrained(folder)
            self._tokenizer.save_pretrained(folder)

    def _ids(self, texts: Sequence[str], *, cut: bool) -> list[list[int]]:
        if not texts:
            return []
        encoding = self._tokenizer(
            list(texts),
            truncation=cut,
            max_length=self.max_tokens if cut else None,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        ids: list[list[int]] = encoding["input_ids"]
        return ids

    def _padded_logits(self, items: Sequence[TokenIds]) -> Tensor:
        lengths = np.array([len(item) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self._tokenizer.pad_token_id or 0, dtype=np.int64)
        ids[mask] = np.concatenate(items)
        output = self.model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self.device),
        )
        logits: Tensor = output.logits
        return logits.float()


def load_encoder(
    source: str,
    *,
    max_tokens: int,
    packing: bool = True,
    offline: bool = False,
    seed: int = 0,
    fresh_head: bool = True,
) -> Encoder:
    """Load an encoder in fp32 on the CPU, in eval mode, from a local folder or by its name on the Hugging Face hub.

    With ``fresh_head`` a head that the source lacks (or has for other classes) is drawn from ``seed``; without it that
    is a BundleError. ``packing`` asks for the forward pass without padding where the architecture allows it.
    ``offline`` never uses the network. Code of the model's own is never run, pickles are never opened.

    Raises RecipeError when the source cannot be used, BundleError when its weights are damaged or incomplete.
    """
    folder = model_folder(source, offline=offline)
    with _quiet():
        config = _config(folder, source)
        tokenizer = _tokenizer(folder, source)
        model = _model(folder, source, config, seed=seed, fresh_head=fresh_head)
    _check_sizes(model, tokenizer, source, max_tokens=max_tokens)
    tokenizer.model_max_length = max_tokens  # saved with it: other programs then cut posts at the same place
    encoder = Encoder(model, tokenizer, max_tokens=max_tokens, plan=None)
    plan = plan_for(model, config.to_dict()) if packing else None
    if plan is not None and _agrees(encoder, plan):
        encoder = Encoder(model, tokenizer, max_tokens=max_tokens, plan=plan)
    return encoder


def _config(folder: Path, source: str) -> PreTrainedConfig:
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(
            f"its config.json is not one that transformers can use: {_first_line(error)}",
            where=source,
            hint="choose a model whose architecture transformers itself knows; code of its own is not run",
        ) from error
    assert isinstance(config, PreTrainedConfig)
    config.num_labels = len(LABELS)
    config.id2label = LABELS
    config.label2id = {name: number for number, name in LABELS.items()}
    config.problem_type = "single_label_classification"
    return config


def _tokenizer(folder: Path, source: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        japanese = any(name in str(error) for name in ("fugashi", "unidic", "ipadic", "mecab"))
        raise RecipeError(
            f"its tokenizer needs a library that is not installed: {_first_line(error)}",
            where=source,
            hint="pip install 'polyvigil[ja]'" if japanese else "pip install 'polyvigil[encoders]'",
        ) from error
    except Exception as error:  # the Rust library raises bare Exception
        raise RecipeError(
            f"its tokenizer cannot be read: {_first_line(error)}",
            where=source,
            hint="copy the tokenizer files of the original model again",
        ) from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def _model(folder: Path, source: str, config: PreTrainedConfig, *, seed: int, fresh_head: bool) -> PreTrainedModel:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model, found = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # a head for other classes; anything else is refused below
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (SafetensorError, OSError, RuntimeError) as error:
        raise BundleError(
            f"its weights cannot be read: {_first_line(error)}", where=source, hint="copy or fetch the model again"
        ) from error
    except ValueError as error:
        raise RecipeError(
            f"a {config.model_type!r} model cannot classify posts",
            where=source,
            hint="choose an encoder such as xlm-roberta-base",
        ) from error
    assert isinstance(model, PreTrainedModel)
    mismatched = {key if isinstance(key, str) else key[0] for key in found["mismatched_keys"]}
    lacking = sorted({*found["missing_keys"], *mismatched})
    backbone = [key for key in lacking if key.startswith(f"{model.base_model_prefix}.") and ".pooler." not in key]
    if backbone:
        raise BundleError(
            f"{len(backbone)} tensors are missing or of another shape than config.json says, such as {backbone[0]}",
            where=source,
            hint="copy config.json and weights of the same model",
        )
    if lacking and not fresh_head:
        raise BundleError(
            f"holds no trained head ({lacking[0]} is missing)", where=source, hint="train it, or copy it again"
        )
    return model  # from_pretrained leaves it in eval mode


def _check_sizes(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str, *, max_tokens: int) -> None:
    positions = _positions(model)
    if positions is not None and max_tokens > positions:
        raise RecipeError(
            f"max_tokens is {max_tokens}, but the model has positions for {positions} tokens",
            where=source,
            hint=f"set model.max_tokens to at most {positions}",
        )
    table = model.get_input_embeddings()
    if isinstance(table, nn.Embedding) and len(tokenizer) > table.num_embeddings:
        raise RecipeError(
            f"its tokenizer knows {len(tokenizer)} tokens, its weights only {table.num_embeddings}",
            where=source,
            hint="the tokenizer files are those of another model",
        )


def _positions(model: PreTrainedModel) -> int | None:
    """The longest post the model takes, in tokens; None where the configuration sets no limit."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _agrees(encoder: Encoder, plan: Plan) -> bool:
    """Whether the packed forward gives this model's own numbers on two short posts: the proof before it is used."""
    items = [np.arange(size, dtype=np.int32) % 7 + 2 for size in (5, 3)]
    with torch.inference_mode():
        packed = packed_logits(encoder.model, plan, items, encoder.device)
        return torch.allclose(packed, encoder.logits(items), rtol=1e-3, atol=1e-4)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and warnings; its settings are put back afterwards."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    _hide_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            _show_bars()
