"""From a model folder to its configuration, tokenizer and classifier, checked, and back to a folder.

Beside nn/translator.py the only file that knows Hugging Face class names. Code of a model's own is never run, pickles
are never opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaForSequenceClassification,
    XLMRobertaForSequenceClassification,
)
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import logging

from polyvigil.errors import BundleError, RecipeError, install_command

Config: TypeAlias = PreTrainedConfig
Classifier: TypeAlias = PreTrainedModel
TextTokenizer: TypeAlias = PreTrainedTokenizerBase

_OF_A_TOKENIZER = {".json", ".model", ".txt"}

_hide_bars: Callable[[], None] = logging.disable_progress_bar
_show_bars: Callable[[], None] = logging.enable_progress_bar


def read_config(folder: Path, source: str) -> Config:
    """The configuration in ``folder``, called ``source`` in errors. Raises RecipeError.

    A folder that brings code of its own (``auto_map``) is read by transformers' own class where it has one.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(
            f"its config.json is not one that transformers can use: {_first_line(error)}",
            where=source,
            hint="choose a model whose architecture transformers itself knows; code of its own is not run",
        ) from error
    assert isinstance(config, PreTrainedConfig)
    vars(config).pop("auto_map", None)  # where code of the model's own stands: not run, and not written into bundles
    return config


def read_tokenizer(folder: Path, source: str) -> TextTokenizer:
    """The tokenizer in ``folder``. Raises RecipeError where it is damaged or needs a library that is not there."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        japanese = any(name in str(error) for name in ("fugashi", "unidic", "ipadic", "mecab"))
        raise RecipeError(
            f"its tokenizer needs a library that is not installed: {_first_line(error)}",
            where=source,
            hint=install_command("ja" if japanese else "encoders"),
        ) from error
    except Exception as error:  # the Rust library raises bare Exception
        raise RecipeError(
            f"its tokenizer cannot be read: {_first_line(error)}",
            where=source,
            hint="copy the tokenizer files of the original model again",
        ) from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    tokenizer.init_kwargs.pop("auto_map", None)
    return tokenizer


def tokenizer_key(folder: Path) -> str:
    """A hash of the tokenizer's files in ``folder``: where it is the same, so are the ids of every text."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("model") and path.suffix in _OF_A_TOKENIZER:
            if path.name in {"config.json", "polyvigil.json", "training.json"}:
                continue
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def read_classifier(folder: Path, source: str, config: Config, *, seed: int, fresh_head: bool) -> Classifier:
    """The weights in ``folder`` in fp32 on the CPU, in eval mode, with a head for the classes of ``config``.

    With ``fresh_head`` a head that is missing or for other classes is sampled from ``seed``, without it that is a
    BundleError. Raises BundleError for damaged weights, RecipeError for an architecture that cannot classify.
    """
    refusal = f"a {config.model_type!r} model cannot classify posts"
    mean = getattr(config, TOKEN_POOLING, "") == "mean"
    kind = MEAN_CLASSIFIERS[config.model_type] if mean else AutoModelForSequenceClassification
    read = _read(kind, folder, source, config, seed=seed, refusal=refusal)
    if read.lacking and not fresh_head:
        raise BundleError(
            f"holds no trained head ({read.lacking[0]} is missing)", where=source, hint="train it, or copy it again"
        )
    return read.model


def pool_by_mean(config: Config, source: str) -> None:
    """Ask, in a configuration, for a head that reads the mean of the tokens. Raises RecipeError where none can."""
    if config.model_type in MEAN_CLASSIFIERS:
        setattr(config, TOKEN_POOLING, "mean")
    elif hasattr(config, "classifier_pooling"):  # ModernBERT and EuroBERT can themselves
        config.classifier_pooling = "mean"
    else:
        raise RecipeError(
            f"a {config.model_type!r} model has no head that reads the mean of its tokens",
            where=source,
            hint="set model.token_pooling = 'model', or choose a BERT, RoBERTa, XLM-R, ModernBERT or EuroBERT",
        )


def _mean_classifier(stock: type[Any]) -> type[Any]:
    """The classifier of transformers with another head: dropout and a linear layer over the mean of the tokens."""

    class MeanOfTokens(stock):  # type: ignore[misc]
        def __init__(self, config: Config) -> None:
            super().__init__(config)
            getattr(self, self.base_model_prefix).pooler = None
            rate = config.classifier_dropout
            self.dropout = nn.Dropout(config.hidden_dropout_prob if rate is None else rate)
            self.classifier = nn.Linear(config.hidden_size, config.num_labels or 2)

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **further: Any
        ) -> SequenceClassifierOutput:
            body = getattr(self, self.base_model_prefix)
            hidden = body(input_ids=input_ids, attention_mask=attention_mask, **further)[0]
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            weights = mask.to(hidden.dtype)[..., None]
            mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            return SequenceClassifierOutput(logits=self.classifier(self.dropout(mean)))

    MeanOfTokens.__name__ = f"MeanOfTokens{stock.__name__}"
    return MeanOfTokens


TOKEN_POOLING = "polyvigil_token_pooling"
"""The entry of config.json that says by which head a folder's classifier is to be read."""
MEAN_CLASSIFIERS = {
    "bert": _mean_classifier(BertForSequenceClassification),
    "roberta": _mean_classifier(RobertaForSequenceClassification),
    "xlm-roberta": _mean_classifier(XLMRobertaForSequenceClassification),
}


@dataclass(frozen=True, slots=True)
class Read:
    """A model as it was read, in eval mode. ``lacking``: random tensors of its head, sorted; ``left``: tensors
    of the files that it has no place for, sorted."""

    model: Classifier
    lacking: tuple[str, ...]
    left: tuple[str, ...]


def read_masked_lm(folder: Path, source: str, config: Config, *, seed: int) -> Read:
    """The weights in ``folder`` in fp32 on the CPU, with a head that names masked tokens; random from ``seed`` where it
    is missing. Raises as ``read_classifier``."""
    refusal = f"a {config.model_type!r} model has no masked-language head"
    return _read(AutoModelForMaskedLM, folder, source, config, seed=seed, refusal=refusal)


def _read(kind: Any, folder: Path, source: str, config: Config, *, seed: int, refusal: str) -> Read:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model, loading_info = kind.from_pretrained(
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
        raise RecipeError(refusal, where=source, hint="choose an encoder such as xlm-roberta-base") from error
    assert isinstance(model, PreTrainedModel)
    mismatched = {key if isinstance(key, str) else key[0] for key in loading_info["mismatched_keys"]}
    lacking = sorted({*loading_info["missing_keys"], *mismatched})
    backbone = [key for key in lacking if key.startswith(f"{model.base_model_prefix}.") and ".pooler." not in key]
    if backbone:
        raise BundleError(
            f"{len(backbone)} tensors are missing or of another shape than config.json says, such as {backbone[0]}",
            where=source,
            hint="copy config.json and weights of the same model",
        )
    return Read(model, tuple(lacking), tuple(sorted(loading_info["unexpected_keys"])))  # in eval mode


def check_sizes(model: Classifier, tokenizer: TextTokenizer, source: str, *, max_tokens: int) -> None:
    """Raise RecipeError where ``max_tokens`` exceeds the model's positions, or the tokenizer is another model's."""
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


def _positions(model: Classifier) -> int | None:
    """The longest post the model takes, in tokens; None where the configuration sets no limit."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def write_folder(model: Classifier, tokenizer: TextTokenizer, folder: Path) -> None:
    """Write configuration, weights (safetensors) and tokenizer, as transformers itself would."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def write_tokenizer(tokenizer: TextTokenizer, folder: Path) -> None:
    """Write the tokenizer as transformers itself would."""
    with quiet():
        tokenizer.save_pretrained(folder)


def move(model: nn.Module, device: str) -> None:
    """Move the weights; ``auto`` is a CUDA GPU where there is one, else the CPU. Raises RecipeError."""
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        model.to(chosen)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        reason = str(error).splitlines()[0]
        raise RecipeError(f"the device cannot be used ({reason})", where=device, hint="try cpu") from error


@contextmanager
def quiet() -> Iterator[None]:
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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
