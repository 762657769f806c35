"""The shapes of known models, and what follows from a shape: parameters, operations and activations. Knows no torch.

In: a name of the hub (model_shapes.toml), or the config.json of a local folder. Out: a ModelShape, and numbers from it.
The formulas are those of the transformers classes (BERT, RoBERTa, ModernBERT, EuroBERT, DeBERTa-v2, M2M-100): tests
count the parameters of every model there, and measure activations.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from polyvigil.config.base import Spec
from polyvigil.config.model import TokenPooling

Architecture = Literal["bert", "xlm-roberta", "modernbert", "eurobert", "deberta-v2", "m2m_100", "gliner2"]
Precision = Literal["fp32", "bf16", "fp16"]
_LIKE = {
    "bert": "bert",
    "xlm-roberta": "xlm-roberta",
    "roberta": "xlm-roberta",
    "modernbert": "modernbert",
    "eurobert": "eurobert",
    "deberta-v2": "deberta-v2",
}
_PACKED = {"bert", "xlm-roberta", "modernbert", "eurobert"}  # runs without padding (nn.packed)
_ROTARY = {"modernbert", "eurobert"}
DEBERTA_SLOWER = 2.3
"""Time of a token through DeBERTa against XLM-R of its size (Singh 2026 on mDeBERTa)."""


class ModelShape(Spec):
    """Sizes of a model. ``download``: approximate bytes that are fetched; 0 and no names of a local one.

    ``key_heads``: heads with keys and values of their own, 0 for all; in ``local_layers`` a token sees ``window``
    tokens; ``head_reads``: the first token of a post or all; ``linear_head``: whether the head is one linear layer;
    ``languages``: as its card says.
    """

    names: tuple[str, ...] = Field(default=(), strict=False)
    architecture: Architecture
    layers: int
    hidden: int
    heads: int
    key_heads: int = 0
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    relative_buckets: int = 0
    local_layers: int = 0
    window: int = 0
    head_reads: Literal["first", "all"] = "first"
    linear_head: bool = False
    languages: str = ""
    classes: int = 2
    stated: int = 0
    download: int = 0
    weights: Literal["safetensors", "unknown"] = "safetensors"
    licence: str = ""

    @property
    def word_table(self) -> int:
        """Parameters of the table of word vectors."""
        return self.vocabulary * self.hidden

    @property
    def linear_layers(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each linear layer of one layer of the encoder, first those of keys and values."""
        h, f = self.hidden, self.intermediate
        if self.architecture == "modernbert":
            return (h, 3 * h), (h, h), (h, 2 * f), (f, h)
        if self.architecture == "eurobert":
            shared = h // self.heads * (self.key_heads or self.heads)
            return (h, shared), (h, shared), (h, h), (h, h), (h, f), (h, f), (f, h)
        return (h, h), (h, h), (h, h), (h, h), (h, f), (f, h)

    @property
    def linear(self) -> int:
        """Weights and biases of the linear layers of one layer of the encoder."""
        biases = 0 if self.architecture in _ROTARY else sum(outputs for _, outputs in self.linear_layers)
        return _weights(self.linear_layers) + biases

    @property
    def parameters(self) -> int:
        """Of the model with a head for ``classes`` (of a translator: with its decoder; of GLiNER2: as stated)."""
        if self.architecture == "gliner2":
            return 1_000_000 * self.stated
        norms = 4 * self.hidden
        if self.architecture == "m2m_100":
            decoder = self.linear + 4 * (self.hidden**2 + self.hidden) + 6 * self.hidden
            return self.word_table + self.layers * (self.linear + norms + decoder) + norms
        dense = 0 if self.linear_head else self.hidden**2 + self.hidden
        head = dense + (self.hidden + 1) * self.classes
        if self.architecture in _ROTARY:  # norms without biases, two in each layer and one beside the layers
            return self.word_table + self.layers * (self.linear + 2 * self.hidden) + self.hidden + head
        absolute = 0 if self.architecture == "deberta-v2" else self.positions + self.types
        relative = 2 * self.relative_buckets + 2 if self.relative_buckets else 0
        embeddings = self.word_table + (absolute + 2 + relative) * self.hidden
        return embeddings + self.layers * (self.linear + norms) + head

    def pooled_by(self, token_pooling: TokenPooling) -> ModelShape:
        """The same with the head that this setting asks for."""
        if token_pooling == "model":
            return self
        update = {"head_reads": "all", "linear_head": self.architecture not in _ROTARY}
        return self.model_copy(update=update)

    @property
    def packed(self) -> bool:
        """Whether posts run without padding (nn.packed)."""
        return self.architecture in _PACKED

    @property
    def first_only(self) -> bool:
        """Whether posts go through the last layer by their first token alone."""
        return self.packed and self.head_reads == "first"

    def forward_operations(self, tokens: int) -> float:
        """Floating-point operations (a multiplication and an addition are two) of one window of so many tokens.

        Linear layers: 2 for each weight and token; attention: 4 x hidden x tokens seen for each token and layer.
        """
        weights = _weights(self.linear_layers)
        keys_and_values = _weights(self.linear_layers[: 1 if self.architecture == "modernbert" else 2])
        seen = self.layers * tokens - self.local_layers * max(0, tokens - self.window - 1)
        operations = 2.0 * self.layers * tokens * weights + 4 * self.hidden * tokens * seen
        if self.first_only:  # of the last layer, all other rows of what is neither key nor value
            operations -= (tokens - 1) * (2 * (weights - keys_and_values) + 4 * self.hidden * tokens)
        slower = DEBERTA_SLOWER if self.relative_buckets else 1.0
        return slower * (operations + 2 * self.hidden**2)

    def activation_bytes(
        self, tokens: int, *, precision: Precision, checkpointing: bool = False, longest: int = 0
    ) -> int:
        """Bytes that a training holds of ``tokens`` tokens between forward and backward pass.

        Coefficients: counted on saved tensors of random models (tests/nn/test_shapes.py), for each token and layer.
        With ``longest`` the maps of attention of windows of so many tokens are counted: a CPU keeps them, a GPU not.
        """
        h, f, exact = self.hidden, self.intermediate, precision == "fp32"
        maps = 0.0
        if self.architecture in _ROTARY:  # trained without dropout of attention, which keeps no maps then
            layer = (44 if exact else 26 if self.architecture == "modernbert" else 36) * h + (16 if exact else 8) * f
            rest = ((35 if exact else 24) if self.first_only else 18) * h
        elif self.packed:
            layer = (40 if exact else 37) * h + (8 if exact else 4) * f
            maps, rest = 12.0 * self.heads * longest, 21 * h
        else:  # the stock forward of DeBERTa: three products with relative positions
            layer = (54 if exact else 34) * h + (8 if exact else 4) * f
            maps, rest = (12.0 if exact else 6.5) * self.heads * longest, 12 * h
        full = self.layers - 1 if self.first_only else self.layers
        if checkpointing:  # of all layers their inputs, and all of one layer
            return int(tokens * (full * 4 * h + layer + maps + rest))
        return int(tokens * (full * (layer + maps) + rest))


def _weights(layers: Sequence[tuple[int, int]]) -> int:
    return sum(inputs * outputs for inputs, outputs in layers)


@cache
def known_shapes() -> dict[str, ModelShape]:
    """Every shape that is shipped, by each of its names."""
    text = (files("polyvigil.nn") / "model_shapes.toml").read_text(encoding="utf-8")
    shapes = [ModelShape.model_validate(entry) for entry in tomllib.loads(text)["model"]]
    return {name: shape for shape in shapes for name in shape.names}


def shape_of(source: str) -> ModelShape | None:
    """The shape of a known name of the hub, or of a local folder's config.json; None where it is neither."""
    folder = Path(source).expanduser()
    return _read(folder) if folder.is_dir() else known_shapes().get(source)


def _read(folder: Path) -> ModelShape | None:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return ModelShape(
            architecture=_LIKE[config["model_type"]],  # type: ignore[arg-type]
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            intermediate=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            positions=config["max_position_embeddings"],
            types=config.get("type_vocab_size", 0),
            relative_buckets=max(0, config.get("position_buckets", 0)),
            **_rotary_sizes(config),
        )
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None


def _rotary_sizes(config: dict[str, Any]) -> dict[str, Any]:
    """What ModernBERT and EuroBERT have beside."""
    if config["model_type"] == "modernbert":
        every = config.get("global_attn_every_n_layers", 3)
        kinds = config.get("layer_types") or [
            "sliding_attention" if index % every else "full_attention" for index in range(config["num_hidden_layers"])
        ]
        return {
            "local_layers": kinds.count("sliding_attention"),
            "window": config.get("local_attention", 128),
            "head_reads": "first" if config.get("classifier_pooling", "cls") == "cls" else "all",
        }
    if config["model_type"] == "eurobert":
        return {
            "key_heads": config.get("num_key_value_heads") or 0,
            "head_reads": "first" if config.get("classifier_pooling") == "bos" else "all",
        }
    return {}
