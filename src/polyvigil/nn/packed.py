"""The forward pass without padding, for BERT and the RoBERTa family: the same numbers for fewer operations.

Posts are laid end to end. Everything but attention works token by token, so it runs on the real tokens alone; attention
runs on each group of equally long posts. The head reads the first token of a post only, so the last layer computes keys
and values of all tokens, and everything else for first tokens only.

The modules of the model itself are called, by name: its weights, dropout, activations and adapters are used as they
stand, and gradients reach them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from polyvigil.nn.batching import inverse_permutation

_BACKBONES = {"xlm-roberta": "roberta", "roberta": "roberta", "bert": "bert"}  # model_type -> name of the backbone
_HEADS = {"roberta": ("classifier.dense", "classifier.out_proj"), "bert": ("bert.pooler.dense", "classifier")}
_EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")
LINEARS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
"""The linear layers in a layer of the encoder."""
_LAYER = (*LINEARS, "attention.output.LayerNorm", "output.LayerNorm")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the packed forward must know of a model: ``backbone`` is its attribute, ``heads`` attend in each layer."""

    backbone: str
    layers: int
    heads: int


def plan_for(model: nn.Module, config: Mapping[str, object]) -> Plan | None:
    """The plan for a sequence classifier with this configuration, or None where anything about it is unknown.

    Known: the model types of ``_BACKBONES`` as encoders with absolute positions and exactly the usual parameters.
    """
    backbone = _BACKBONES.get(str(config.get("model_type")))
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    if backbone is None or not isinstance(layers, int) or not isinstance(heads, int) or layers < 1:
        return None
    if config.get("is_decoder") or config.get("add_cross_attention"):
        return None
    if config.get("position_embedding_type", "absolute") != "absolute":
        return None
    names = {name for name, _ in model.named_parameters()}
    return Plan(backbone, layers, heads) if names == _parameters(backbone, layers) else None


def packed_logits(model: nn.Module, plan: Plan, items: Sequence[NDArray[np.int32]], device: torch.device) -> Tensor:
    """Logits of posts given as token ids: float32 (n_items, n_classes), in the order of ``items``; differentiable.

    Each item holds at least one token and no more than the model has positions.
    """
    # equally long posts side by side: attention takes each such group as one rectangle, with nothing to mask
    order = np.argsort([-len(item) for item in items], kind="stable")
    backbone = model.get_submodule(plan.backbone)
    embeddings = backbone.get_submodule("embeddings")
    posts = _lay_out([items[index] for index in order], padding=_padding_index(embeddings), device=device)
    hidden = embeddings(  # all posts as one row: the positions say where each begins
        input_ids=posts.ids[None],
        token_type_ids=torch.zeros_like(posts.ids)[None],
        position_ids=posts.positions[None],
    )[0]
    for index in range(plan.layers):
        layer = backbone.get_submodule(f"encoder.layer.{index}")
        last = index == plan.layers - 1
        if layer.training and getattr(layer, "gradient_checkpointing", False):  # set by transformers where asked for
            hidden = checkpoint(_layer, layer, hidden, posts, plan.heads, last, use_reentrant=False)
        else:
            hidden = _layer(layer, hidden, posts, plan.heads, last)
    logits: Tensor = _head(model, plan, hidden)
    back = torch.from_numpy(inverse_permutation(order)).to(device)
    return logits.float()[back]


@dataclass(frozen=True, slots=True)
class _Posts:
    """Posts end to end, longest first. ``ids``, ``positions``: (n_tokens,); ``starts``: (n_posts + 1,) int32.

    ``runs``: length and number of each group of equally long posts, in order.
    """

    ids: Tensor
    positions: Tensor
    starts: Tensor
    runs: tuple[tuple[int, int], ...]


def _lay_out(items: Sequence[NDArray[np.int32]], *, padding: int | None, device: torch.device) -> _Posts:
    lengths = np.array([len(item) for item in items], dtype=np.int64)
    ids = np.concatenate(items).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    if padding is None:  # BERT: 0, 1, 2 ...
        positions = np.arange(len(ids)) - np.repeat(starts[:-1], lengths)
    else:  # RoBERTa: from padding + 1, and a padding token inside a post (someone typed "<pad>") is not counted
        real = ids != padding
        before = np.concatenate([[0], np.cumsum(real)])
        positions = (before[1:] - np.repeat(before[starts[:-1]], lengths)) * real + padding
    sizes, first = np.unique(-lengths, return_index=True)  # negated, since unique sorts upward and posts stand downward
    counts = np.diff(np.append(first, len(lengths)))
    return _Posts(
        ids=torch.from_numpy(ids).to(device),
        positions=torch.from_numpy(positions).to(device),
        starts=torch.from_numpy(starts.astype(np.int32)).to(device),  # varlen_attn takes no other type
        runs=tuple(zip((-sizes).tolist(), counts.tolist(), strict=True)),
    )


def _layer(layer: nn.Module, hidden: Tensor, posts: _Posts, heads: int, last: bool) -> Tensor:
    """One layer: (n_tokens, width) -> the same, or (n_posts, width) for the last layer."""
    attention = layer.get_submodule("attention.self")
    query_input = hidden[posts.starts[:-1]] if last else hidden
    context = _attend(
        attention.get_submodule("query")(query_input),
        attention.get_submodule("key")(hidden),
        attention.get_submodule("value")(hidden),
        posts,
        heads=heads,
        dropout=_rate(attention.get_submodule("dropout")),
        first_only=last,
    )
    attended = layer.get_submodule("attention.output")(context, query_input)
    result: Tensor = layer.get_submodule("output")(layer.get_submodule("intermediate")(attended), attended)
    return result


def _attend(
    query: Tensor, key: Tensor, value: Tensor, posts: _Posts, *, heads: int, dropout: float, first_only: bool
) -> Tensor:
    """Attention inside each post: query (n_rows, width), key and value (n_tokens, width) -> (n_rows, width)."""
    width = query.shape[-1] // heads
    query, key, value = (part.view(-1, heads, width) for part in (query, key, value))
    if dropout == 0 and _flash_takes(query):  # the kernel knows no dropout
        return _flash(query, key, value, posts, first_only=first_only)
    outputs, row, token = [], 0, 0
    for length, count in posts.runs:
        n_queries = 1 if first_only else length
        part = scaled_dot_product_attention(
            query[row : row + count * n_queries].view(count, n_queries, heads, width).transpose(1, 2),
            key[token : token + count * length].view(count, length, heads, width).transpose(1, 2),
            value[token : token + count * length].view(count, length, heads, width).transpose(1, 2),
            dropout_p=dropout,
        )
        outputs.append(part.transpose(1, 2).reshape(count * n_queries, heads * width))
        row, token = row + count * n_queries, token + count * length
    return torch.cat(outputs)


def _flash_takes(query: Tensor) -> bool:
    """Whether torch's variable-length attention takes this: half precision on CUDA, Ampere or newer, torch >= 2.10."""
    if not query.is_cuda or query.dtype not in {torch.float16, torch.bfloat16}:
        return False
    if query.shape[-1] % 8 or query.shape[-1] > 256 or torch.cuda.get_device_capability(query.device)[0] < 8:
        return False
    return find_spec("torch.nn.attention.varlen") is not None


def _flash(query: Tensor, key: Tensor, value: Tensor, posts: _Posts, *, first_only: bool) -> Tensor:
    """All posts in one kernel, without the loop; untested where the project has no GPU."""
    from torch.nn.attention.varlen import varlen_attn

    longest = posts.runs[0][0]
    rows = torch.arange(len(posts.starts), device=query.device, dtype=torch.int32) if first_only else posts.starts
    result = varlen_attn(query, key, value, rows, posts.starts, 1 if first_only else longest, longest)
    assert isinstance(result, Tensor)  # a pair only where more is asked for
    return result.flatten(1)


def _head(model: nn.Module, plan: Plan, first: Tensor) -> Tensor:
    """The model's own head on the first token of each post, (n_posts, width) -> (n_posts, n_classes)."""
    sequence = first[:, None, :]  # the heads take position 0 of (n_posts, n_tokens, width)
    classifier = model.get_submodule("classifier")
    if plan.backbone == "roberta":
        logits: Tensor = classifier(sequence)
    else:
        pooled = model.get_submodule("bert.pooler")(sequence)
        logits = classifier(model.get_submodule("dropout")(pooled))
    return logits


def _rate(dropout: nn.Module) -> float:
    assert isinstance(dropout, nn.Dropout)
    return dropout.p if dropout.training else 0.0


def replace_linears(model: nn.Module, plan: Plan, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Put what ``make`` makes of it where each linear layer of the encoder; the head stays as it is."""
    backbone = model.get_submodule(plan.backbone)
    for index in range(plan.layers):
        for name in LINEARS:
            parent, _, child = f"encoder.layer.{index}.{name}".rpartition(".")
            source = backbone.get_submodule(f"{parent}.{child}")
            assert isinstance(source, nn.Linear)
            setattr(backbone.get_submodule(parent), child, make(source))


def _padding_index(embeddings: nn.Module) -> int | None:
    """Index of the padding position of the RoBERTa family; BERT has none."""
    positions = embeddings.get_submodule("position_embeddings")
    assert isinstance(positions, nn.Embedding)
    return positions.padding_idx


def _parameters(backbone: str, layers: int) -> set[str]:
    modules = [f"{backbone}.embeddings.LayerNorm", *_HEADS[backbone]]
    modules += [f"{backbone}.encoder.layer.{index}.{part}" for index in range(layers) for part in _LAYER]
    both = {f"{module}.{kind}" for module in modules for kind in ("weight", "bias")}
    return both | {f"{backbone}.embeddings.{name}.weight" for name in _EMBEDDINGS}
