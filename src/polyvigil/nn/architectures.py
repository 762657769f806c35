"""What the packed forward (nn.packed) must know of an architecture: the names of its modules and how they follow.

In: a model of transformers and its configuration. Out: a Plan, or None where anything about the model is unknown; then
it runs by its own forward, padded. An architecture is a description; whatever computes is a module of the model.
Sources: BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019), ModernBERT (Warner et al. 2024, section 2.1), EuroBERT
(Boizard et al. 2025, section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

Pooled = Literal["first", "mean", "late"]
"""What of a post the head reads: its first token, the mean of its tokens, or all tokens, whose logits are averaged."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Names of modules: in the model (``backbone``, ``head``), in the backbone (``embeddings``, ``layer``,
    ``final_norm``, ``rotary``), and in a layer (all others).

    ``attention_in``: the linear layers that make queries, keys and values, or one that makes all three side by side;
    ``attention_out``: the modules that follow attention; ``pre_norm``: the norms before attention and before
    ``feed_forward``, whose results are added to what came in. Without ``pre_norm`` the modules of ``attention_out`` and
    ``feed_forward`` add and normalise themselves, as those of BERT do. ``linears``: every linear layer of a layer.
    """

    backbone: str
    embeddings: str
    layer: str
    attention: str
    attention_in: tuple[str, ...]
    attention_out: tuple[str, ...]
    feed_forward: tuple[str, ...]
    linears: tuple[str, ...]
    head: tuple[str, ...]
    pre_norm: tuple[str, str] | None = None
    final_norm: str = ""
    rotary: str = ""


_BERT = Architecture(
    backbone="bert",
    embeddings="embeddings",
    layer="encoder.layer.{}",
    attention="attention.self",
    attention_in=("attention.self.query", "attention.self.key", "attention.self.value"),
    attention_out=("attention.output",),
    feed_forward=("intermediate", "output"),
    linears=(
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ),
    head=("bert.pooler", "dropout", "classifier"),
)
_ROBERTA = replace(_BERT, backbone="roberta", head=("classifier",))
_MODERNBERT = Architecture(
    backbone="model",
    embeddings="embeddings",
    layer="layers.{}",
    attention="attn",
    attention_in=("attn.Wqkv",),
    attention_out=("attn.Wo", "attn.out_drop"),
    feed_forward=("mlp",),
    linears=("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
    head=("head", "drop", "classifier"),
    pre_norm=("attn_norm", "mlp_norm"),
    final_norm="final_norm",
    rotary="rotary_emb",
)
_EUROBERT = Architecture(
    backbone="model",
    embeddings="embed_tokens",
    layer="layers.{}",
    attention="self_attn",
    attention_in=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_out=("self_attn.o_proj",),
    feed_forward=("mlp",),
    linears=(
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ),
    head=("dense", "activation", "classifier"),
    pre_norm=("input_layernorm", "post_attention_layernorm"),
    final_norm="norm",
    rotary="rotary_emb",
)
_ARCHITECTURES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "modernbert": _MODERNBERT,
    "eurobert": _EUROBERT,
}
PACKED_TYPES = frozenset(_ARCHITECTURES)
"""The ``model_type`` of every architecture that runs without padding."""

_POOLED: dict[str, Pooled] = {"cls": "first", "bos": "first", "mean": "mean", "late": "late"}
_FIXED_ROTATIONS = {"default", "linear", "llama3", "yarn"}  # others turn by angles that hang on the longest post


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run one model. ``heads`` attend in each layer, ``key_heads`` of them have keys and values of their own.

    ``kinds``: of each layer, ``full_attention``, or ``sliding_attention``, whose tokens see those up to ``reach``
    before and after them.
    """

    architecture: Architecture
    heads: int
    key_heads: int
    kinds: tuple[str, ...]
    reach: int
    pooled: Pooled

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.kinds)

    def layer_name(self, index: int) -> str:
        """A layer's path in the model."""
        return f"{self.architecture.backbone}.{self.architecture.layer.format(index)}"

    def reach_of(self, index: int) -> int | None:
        """How many tokens away a token of this layer sees; None: the whole post."""
        return self.reach if self.kinds[index] == "sliding_attention" else None


def plan_for(model: nn.Module, config: Mapping[str, Any]) -> Plan | None:
    """The plan for a sequence classifier with this configuration, or None where anything about it is unknown.

    Known: encoders of ``PACKED_TYPES`` with absolute positions or rotations that hang on nothing but the position,
    whose parameters are all inside the modules that the architecture names.
    """
    architecture = _ARCHITECTURES.get(str(config.get("model_type")))
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    if architecture is None or not isinstance(layers, int) or not isinstance(heads, int) or layers < 1:
        return None
    if config.get("is_decoder") or config.get("add_cross_attention"):
        return None
    if architecture.rotary:
        if not _rotation_types(config.get("rope_parameters") or {}) <= _FIXED_ROTATIONS:
            return None
    elif config.get("position_embedding_type", "absolute") != "absolute":
        return None
    kinds = tuple(config.get("layer_types") or ["full_attention"] * layers)
    pooled = _POOLED.get(config.get("classifier_pooling", "cls"))
    if config.get("polyvigil_token_pooling") == "mean":
        architecture, pooled = replace(architecture, head=("dropout", "classifier")), "mean"
    if pooled is None or len(kinds) != layers or not set(kinds) <= {"full_attention", "sliding_attention"}:
        return None
    plan = Plan(
        architecture,
        heads=heads,
        key_heads=config.get("num_key_value_heads") or heads,
        kinds=kinds,
        reach=config.get("local_attention", 0) // 2,
        pooled=pooled,
    )
    return plan if _has_its_modules(model, plan) else None


def replace_linears(model: nn.Module, plan: Plan, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Put what ``make`` makes of it where each linear layer of the encoder; the head stays as it is."""
    for index in range(plan.layers):
        for name in plan.architecture.linears:
            parent, _, child = f"{plan.layer_name(index)}.{name}".rpartition(".")
            source = model.get_submodule(f"{parent}.{child}")
            assert isinstance(source, nn.Linear)
            setattr(model.get_submodule(parent), child, make(source))


def _rotation_types(parameters: Mapping[str, Any]) -> set[str]:
    """The types of rotation in a configuration's ``rope_parameters``: one for all layers, or one for each kind."""
    if "rope_type" in parameters:
        return {str(parameters["rope_type"])}
    return {str(inner.get("rope_type")) for inner in parameters.values() if isinstance(inner, Mapping)} or {"none"}


def _has_its_modules(model: nn.Module, plan: Plan) -> bool:
    """Whether every linear layer is there, and no parameter is outside the modules that are run."""
    names = plan.architecture
    inside_layer = (*names.attention_in, *names.attention_out, *names.feed_forward, *(names.pre_norm or ()))
    layers = [plan.layer_name(index) for index in range(plan.layers)]
    run = [f"{layer}.{name}" for layer in layers for name in inside_layer]
    run += [f"{names.backbone}.{name}" for name in (names.embeddings, names.final_norm) if name]
    known = tuple(f"{name}." for name in (*run, *names.head))
    modules = dict(model.named_modules())
    linears = [f"{layer}.{name}" for layer in layers for name in names.linears]
    return all(isinstance(modules.get(name), nn.Linear) for name in linears) and all(
        name.startswith(known) for name, _ in model.named_parameters()
    )
