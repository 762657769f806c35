"""The shapes of known models, and what follows from a shape: parameters, operations and activations. Knows no torch.

In: a name of the hub (model_shapes.toml), or the config.json of a local folder. Out: a ModelShape, and numbers from it.
The formulas are those of the transformers classes (BERT, RoBERTa, DeBERTa-v2, M2M-100): tests count the parameters of
every model there, and measure activations.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from polyvigil.config.base import Spec

Architecture = Literal["bert", "xlm-roberta", "deberta-v2", "m2m_100", "gliner2"]
Precision = Literal["fp32", "bf16", "fp16"]
_LIKE = {"bert": "bert", "xlm-roberta": "xlm-roberta", "roberta": "xlm-roberta", "deberta-v2": "deberta-v2"}
_PACKED = {"bert", "xlm-roberta"}  # runs without padding (nn.packed)
DEBERTA_SLOWER = 2.3
"""Time of a token through DeBERTa against XLM-R of its size (Singh 2026 on mDeBERTa)."""


class ModelShape(Spec):
    """Sizes of a model. ``download``: approximate bytes that are fetched; 0 and no names of a local one."""

    names: tuple[str, ...] = Field(default=(), strict=False)
    architecture: Architecture
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    relative_buckets: int = 0
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
    def linear(self) -> int:
        """Weights and biases of the linear layers of one layer of the encoder."""
        return (
            4 * (self.hidden**2 + self.hidden) + 2 * self.hidden * self.intermediate + self.intermediate + self.hidden
        )

    @property
    def parameters(self) -> int:
        """Of the model with a head for ``classes`` (of a translator: with its decoder; of GLiNER2: as stated)."""
        if self.architecture == "gliner2":
            return 1_000_000 * self.stated
        norms = 4 * self.hidden
        if self.architecture == "m2m_100":
            decoder = self.linear + 4 * (self.hidden**2 + self.hidden) + 6 * self.hidden
            return self.word_table + self.layers * (self.linear + norms + decoder) + norms
        absolute = 0 if self.architecture == "deberta-v2" else self.positions + self.types
        relative = 2 * self.relative_buckets + 2 if self.relative_buckets else 0
        embeddings = self.word_table + (absolute + 2 + relative) * self.hidden
        head = self.hidden**2 + self.hidden + (self.hidden + 1) * self.classes
        return embeddings + self.layers * (self.linear + norms) + head

    @property
    def packed(self) -> bool:
        """Whether posts run without padding, and through the last layer by their first token alone (nn.packed)."""
        return self.architecture in _PACKED

    def forward_operations(self, tokens: int) -> float:
        """Floating-point operations (a multiplication and an addition are two) of one window of so many tokens.

        Linear layers: 2 for each weight and token; attention: 4 x hidden x tokens for each token and layer.
        """
        h, f = self.hidden, self.intermediate
        whole = tokens * (8 * h * h + 4 * h * f) + 4 * h * tokens**2
        last = tokens * 4 * h * h + (4 * h * h + 4 * h * f) + 4 * h * tokens if self.packed else whole
        slower = DEBERTA_SLOWER if self.relative_buckets else 1.0
        return slower * ((self.layers - 1) * whole + last + 2 * h * h)

    def activation_bytes(
        self, tokens: int, *, precision: Precision, checkpointing: bool = False, longest: int = 0
    ) -> int:
        """Bytes that a training holds of ``tokens`` tokens between forward and backward pass.

        Coefficients: counted on saved tensors of random models (tests/nn/test_shapes.py), for each token and layer.
        With ``longest`` the maps of attention of windows of so many tokens are counted: a CPU keeps them, a GPU not.
        """
        h, f, exact = self.hidden, self.intermediate, precision == "fp32"
        layer = (40 if exact else 37) * h + (8 if exact else 4) * f
        maps = (12.0 if exact or self.packed else 6.5) * self.heads * longest
        if not self.packed:  # the stock forward of DeBERTa: three products with relative positions
            layer = (54 if exact else 34) * h + (8 if exact else 4) * f
        rest = (21 if self.packed else 12) * h
        full = self.layers - 1 if self.packed else self.layers
        if checkpointing:  # of all layers their inputs, and all of one layer
            return int(tokens * (full * 4 * h + layer + maps + rest))
        return int(tokens * (full * (layer + maps) + rest))


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
        )
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
