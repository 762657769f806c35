"""Backbone, two-class head and tokenizer as one thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polyvigil.config.model import TokenPooling
from polyvigil.errors import BundleError, RecipeError
from polyvigil.nn import int8
from polyvigil.nn.architectures import Plan, plan_for, replace_linears
from polyvigil.nn.bf16 import Bf16Linear
from polyvigil.nn.packed import packed_logits
from polyvigil.nn.pretrained import (
    Classifier,
    TextTokenizer,
    check_sizes,
    move,
    pool_by_mean,
    quiet,
    read_classifier,
    read_config,
    read_tokenizer,
    tokenizer_key,
    write_folder,
    write_tokenizer,
)
from polyvigil.nn.source import model_folder
from polyvigil.nn.windows import TRUNCATE, LongRule, Reader, TokenIds
from polyvigil.text.memo import memoised_map
from polyvigil.text.script import letter_share

LABELS = {0: "no_ade", 1: "ade"}
Arithmetic = Literal["fp32", "int8", "bf16"]


class Encoder:
    """A sequence classifier on its device. ``model`` is the ordinary transformers module: train, move, count it so."""

    def __init__(
        self, model: Classifier, tokenizer: TextTokenizer, *, tokenizer_key: str, reader: Reader, plan: Plan | None
    ) -> None:
        self.model: nn.Module = model
        self.reader = reader
        self._model = model
        self._tokenizer = tokenizer
        self._tokenizer_key = tokenizer_key
        self._tokenising = Lock()  # a tokenizer holds whether it truncates: two threads would tell it different things
        self._plan = plan
        self._arithmetic: Arithmetic = "fp32"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def to(self, device: str) -> None:
        """Move the weights; ``auto`` is a CUDA GPU where there is one, else the CPU. Raises RecipeError.

        An int8 encoder stays on the CPU.
        """
        if self._arithmetic == "int8" and device not in {"auto", "cpu"}:
            raise RecipeError(
                "an int8 encoder runs on the CPU alone", where=device, hint="use the bundle it was exported from there"
            )
        move(self.model, "cpu" if self._arithmetic == "int8" else device)

    @property
    def packed(self) -> bool:
        """Whether posts run without padding (``nn.packed``); if not, they are padded to the longest of their batch."""
        return self._plan is not None

    @property
    def padding(self) -> int:
        """The token id that fills up shorter posts of a batch."""
        return self._tokenizer.pad_token_id or 0

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of normalised texts, those of a long one as ``reader`` says: cut, or in several windows."""
        rows = self._ids(texts)
        if self.reader.rule.how != "cut":
            return [self.reader.read(ids) for ids in rows]
        long = [text for text, ids in zip(texts, rows, strict=True) if len(ids) > self.reader.max_tokens]
        truncated = dict(zip(long, self._encode(long, truncate=True), strict=True))
        return [np.array(truncated.get(text, ids), dtype=np.int32) for text, ids in zip(texts, rows, strict=True)]

    def token_counts(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of each text were it not cut, special tokens included: (n_texts,)."""
        return np.array([len(ids) for ids in self._ids(texts)], dtype=np.int32)

    def known_shares(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """How well the vocabulary knows the language of each text, (n_texts,) in [0, 1]: text.script.letter_share.

        By a tokenizer that keeps no offsets: the share of tokens that are not the unknown one.
        """
        unknown = self._tokenizer.unk_token_id
        if not self._tokenizer.is_fast or not texts:
            rows = [np.array(ids) for ids in self._ids(texts)]
            return np.array([float(np.mean(row != unknown)) if len(row) else 1.0 for row in rows])
        with self._tokenising:
            encoding = self._tokenizer(
                list(texts), return_offsets_mapping=True, add_special_tokens=False, verbose=False, truncation=False
            )
        shares = []
        for text, ids, offsets in zip(texts, encoding["input_ids"], encoding["offset_mapping"], strict=True):
            known = [span for token, span in zip(ids, offsets, strict=True) if token != unknown]
            shares.append(letter_share(text, known))
        return np.array(shares)

    def window_spans(self, texts: Sequence[str]) -> list[NDArray[np.int64]] | None:
        """Where in each normalised text its windows begin and end, in characters: (n_windows, 2) each.

        A tokenizer that keeps no offsets (of the Japanese BERTs, say) gives None; ``window_tokens`` always answers.
        """
        if not self._tokenizer.is_fast or not texts:
            return None
        with self._tokenising:
            encoding = self._tokenizer(
                list(texts), return_offsets_mapping=True, add_special_tokens=False, verbose=False, truncation=False
            )
        spans = []
        for offsets, tokens in zip(encoding["offset_mapping"], self.window_tokens(texts), strict=True):
            bounds = np.array(offsets, dtype=np.int64)
            spans.append(np.array([[bounds[a:b, 0].min(), bounds[a:b, 1].max()] for a, b in tokens.tolist()]))
        return spans

    def window_tokens(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The same in tokens, special ones not counted."""
        special = self.reader.before + self.reader.after
        spans = []
        for size in self.token_counts(texts).tolist():
            starts = self.reader.starts(size)
            spans.append(np.column_stack([starts, np.minimum(starts + self.reader.room, size - special)]))
        return spans

    def logits(self, items: Sequence[TokenIds]) -> Tensor:
        """Logits of one micro-batch: float32 (n_items, 2) on the device, order of ``items``; differentiable.

        All items run at once: the caller decides how many fit. Each is one window of 1 to ``max_tokens`` ids.
        Raises ValueError for an item without ids, which no tokenizer with special tokens makes.
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

    def head_layer(self) -> nn.Linear:
        """The last layer of the head, which makes two logits of a vector."""
        layer = self.model.get_submodule(self._head_name())
        assert isinstance(layer, nn.Linear)
        return layer

    @contextmanager
    def without_last_layer(self) -> Iterator[None]:
        """Meanwhile ``logits`` gives what the head's last layer is given, (n_items, width), and dropout is off."""
        parent, _, child = self._head_name().rpartition(".")
        owner, layer, training = self.model.get_submodule(parent), self.head_layer(), self.model.training
        setattr(owner, child, nn.Identity())
        self.model.eval()
        try:
            yield
        finally:
            setattr(owner, child, layer)
            self.model.train(training)

    def _head_name(self) -> str:
        """The path of the last linear layer, outside of the backbone, with as many outputs as there are classes."""
        backbone = f"{self._model.base_model_prefix}."  # in it an adapter may have as many
        names: list[str] = [
            name
            for name, part in self.model.named_modules()
            if isinstance(part, nn.Linear) and part.out_features == len(LABELS) and not name.startswith(backbone)
        ]
        return names[-1]

    def word_table(self) -> nn.Embedding | None:
        """The table of word vectors, (n_words, width); None where it is no plain one or shares its memory."""
        table = self._model.get_input_embeddings()
        if type(table) is not nn.Embedding or table.sparse or table.max_norm is not None:
            return None
        address = table.weight.untyped_storage().data_ptr()
        named = self.model.named_parameters(remove_duplicate=False)
        users = sum(parameter.untyped_storage().data_ptr() == address for _, parameter in named)
        return table if users == 1 else None

    def reserved_ids(self) -> int:
        """Token ids below this may mean something to the model by their number, as that of padding does to RoBERTa.

        Packed, with rotary positions, none does. (EuroBERT's padding and mask stand at the end of its table.)
        """
        if self._plan is not None and self._plan.architecture.rotary:
            return 0
        named = [value for key, value in self._model.config.to_dict().items() if key.endswith("_token_id")]
        inside = [part.padding_idx for part in self.model.modules() if isinstance(part, nn.Embedding)]
        return 1 + max((n for n in (self._tokenizer.pad_token_id, *named, *inside) if isinstance(n, int)), default=-1)

    def compute_in(self, arithmetic: Arithmetic) -> None:
        """From now on the linear layers of the encoder compute in this arithmetic (nn.int8, nn.bf16): faster, and
        other numbers. For scoring; called once.

        Raises RecipeError where posts do not run packed, or where torch cannot do it here.
        """
        if arithmetic == "fp32":
            return
        if self._plan is None:
            raise RecipeError(
                f"{arithmetic} needs the forward pass without padding, which this encoder does not have",
                hint="it is there for BERT, RoBERTa, XLM-R, ModernBERT and EuroBERT, unless model.packing is false",
            )
        if arithmetic == "int8":
            int8.check()
        replace_linears(self.model, self._plan, int8.Int8Linear if arithmetic == "int8" else Bf16Linear)
        self._arithmetic = arithmetic

    def save(self, folder: Path) -> None:
        """Write configuration, weights (safetensors) and tokenizer, as transformers itself would.

        Raises BundleError of one in int8 or bf16, whose weights are gone.
        """
        if self._arithmetic != "fp32":
            raise BundleError(
                f"an encoder in {self._arithmetic} cannot be saved; copy the folder it was loaded from",
                where=str(folder),
            )
        write_folder(self._model, self._tokenizer, folder)

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer alone, as transformers itself would."""
        write_tokenizer(self._tokenizer, folder)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Uncut; inside ``text.memo`` each text once, for all encoders whose tokenizers are of the same files."""
        return memoised_map(texts, partial(self._encode, truncate=False), work=("tokens", self._tokenizer_key))

    def _encode(self, texts: Sequence[str], *, truncate: bool) -> list[list[int]]:
        if not texts:
            return []
        with self._tokenising:
            encoding = self._tokenizer(
                list(texts),
                truncation=truncate,
                max_length=self.reader.max_tokens if truncate else None,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
        ids: list[list[int]] = encoding["input_ids"]
        return ids

    def _padded_logits(self, items: Sequence[TokenIds]) -> Tensor:
        lengths = np.array([len(item) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.padding, dtype=np.int64)
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
    long_posts: LongRule = TRUNCATE,
    token_pooling: TokenPooling = "model",
    packing: bool = True,
    offline: bool = False,
    revision: str = "",
    seed: int = 0,
    fresh_head: bool = True,
) -> Encoder:
    """Load an encoder in fp32 on the CPU, in eval mode, from a local folder or by its name on the Hugging Face hub.

    With ``fresh_head`` a head the source lacks (or for other classes) is random, from ``seed``; without it that
    is a BundleError. ``packing`` asks for the forward pass without padding where the architecture allows it.
    ``long_posts``: what becomes of a post of more than ``max_tokens``. ``token_pooling``: what the head reads (as
    EncoderSpec); a folder that was saved with one of the mean says so itself.
    ``offline`` never uses the network; ``revision`` is one of the hub (nn.source.model_folder). Code of the model's own
    is never run, pickles are never opened.

    Raises RecipeError when the source cannot be used, BundleError when its weights are damaged or incomplete.
    """
    folder = model_folder(source, offline=offline, revision=revision)
    with quiet():
        config = read_config(folder, source)
        config.num_labels = len(LABELS)
        config.id2label = LABELS
        config.label2id = {name: number for number, name in LABELS.items()}
        config.problem_type = "single_label_classification"
        if token_pooling == "mean":
            pool_by_mean(config, source)
        tokenizer = read_tokenizer(folder, source)
        model = read_classifier(folder, source, config, seed=seed, fresh_head=fresh_head)
    check_sizes(model, tokenizer, source, max_tokens=max_tokens)
    tokenizer.model_max_length = max_tokens  # saved with it: other programs then cut posts at the same place
    key = tokenizer_key(folder)
    reader = _reader(tokenizer, source, max_tokens=max_tokens, rule=long_posts)
    encoder = Encoder(model, tokenizer, tokenizer_key=key, reader=reader, plan=None)
    plan = plan_for(model, config.to_dict()) if packing else None
    if plan is not None and _agrees(encoder, plan):
        encoder = Encoder(model, tokenizer, tokenizer_key=key, reader=reader, plan=plan)
    return encoder


def _reader(tokenizer: TextTokenizer, source: str, *, max_tokens: int, rule: LongRule) -> Reader:
    """How many special tokens the tokenizer puts before and after a text is asked of the tokenizer itself."""
    framed, bare = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    special = len(framed) - len(bare)
    candidates = (before for before in range(special + 1) if framed[before : before + len(bare)] == bare)
    before = next(candidates, None)
    if before is None or special >= max_tokens:
        raise RecipeError(
            "its tokenizer does not put special tokens around a text",
            where=source,
            hint="choose a model that was made to classify texts",
        )
    return Reader(max_tokens, before, special - before, rule)


def _agrees(encoder: Encoder, plan: Plan) -> bool:
    """Whether the packed forward gives this model's own numbers: the proof before it is used.

    On two short posts, and where tokens see a window alone, on one that is longer than it.
    """
    sizes = [5, 3]
    if "sliding_attention" in plan.kinds:
        sizes.append(min(encoder.reader.max_tokens, 2 * plan.reach + 3))
    items = [np.arange(size, dtype=np.int32) % 7 + 2 for size in sizes]
    with torch.inference_mode():
        packed = packed_logits(encoder.model, plan, items, encoder.device)
        return torch.allclose(packed, encoder.logits(items), rtol=1e-3, atol=1e-4)
