"""The forward pass without padding, for BERT, RoBERTa, ModernBERT and EuroBERT: the same numbers, fewer operations.

Posts are laid end to end. Everything but attention works token by token, so it runs on the real tokens alone; attention
stays inside each post (nn.attention). Where the head reads the first token of a post only, the last layer computes keys
and values of all tokens, and everything else for first tokens only.

The modules of the model itself are called, by the names of nn.architectures: its weights, dropout, activations and
adapters are used as they stand, and gradients reach them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polyvigil.nn.architectures import Plan
from polyvigil.nn.attention import Posts, Rotation, attend, lay_out, rotated
from polyvigil.nn.batching import inverse_permutation


def packed_logits(model: nn.Module, plan: Plan, items: Sequence[NDArray[np.int32]], device: torch.device) -> Tensor:
    """Logits of posts given as token ids: float32 (n_items, n_classes), in the order of ``items``; differentiable.

    Each item holds at least one token and no more than the model has positions.
    """
    # equally long posts side by side: attention takes each such group as one rectangle, with nothing to mask
    order = np.argsort([-len(item) for item in items], kind="stable")
    backbone = model.get_submodule(plan.architecture.backbone)
    embeddings = backbone.get_submodule(plan.architecture.embeddings)
    posts = lay_out([items[index] for index in order], padding=_padding_index(embeddings), device=device)
    hidden = _embedded(embeddings, posts, plan)
    rotations = _rotations(backbone, posts, plan, hidden)
    for index in range(plan.layers):
        layer = model.get_submodule(plan.layer_name(index))
        run = _pre_norm_layer if plan.architecture.pre_norm else _post_norm_layer
        if layer.training and getattr(layer, "gradient_checkpointing", False):  # set by transformers where asked for
            hidden = checkpoint(run, layer, hidden, posts, plan, index, rotations, use_reentrant=False)
        else:
            hidden = run(layer, hidden, posts, plan, index, rotations)
    logits = _head(model, backbone, plan, hidden, posts)
    back = torch.from_numpy(inverse_permutation(order)).to(device)
    return logits.float()[back]


def _embedded(embeddings: nn.Module, posts: Posts, plan: Plan) -> Tensor:
    """Vectors of all tokens: (n_tokens, width)."""
    if plan.architecture.rotary:
        vectors: Tensor = embeddings(posts.ids[None])[0]
        return vectors
    vectors = embeddings(  # all posts as one row: the positions say where each begins
        input_ids=posts.ids[None],
        token_type_ids=torch.zeros_like(posts.ids)[None],
        position_ids=posts.positions[None],
    )[0]
    return vectors


def _rotations(backbone: nn.Module, posts: Posts, plan: Plan, hidden: Tensor) -> Mapping[str, Rotation]:
    """The rotation of each kind of layer, by the model's own module; none where positions are absolute."""
    if not plan.architecture.rotary:
        return {}
    rotary = backbone.get_submodule(plan.architecture.rotary)
    rotations: dict[str, Rotation] = {}
    for kind in set(plan.kinds):
        by_kind = hasattr(rotary, f"{kind}_inv_freq")  # ModernBERT: other angles in local layers than in global ones
        cos, sin = rotary(hidden, posts.positions[None], kind) if by_kind else rotary(hidden, posts.positions[None])
        rotations[kind] = cos[0], sin[0]
    return rotations


def _post_norm_layer(
    layer: nn.Module, hidden: Tensor, posts: Posts, plan: Plan, index: int, rotations: Mapping[str, Rotation]
) -> Tensor:
    """One layer of BERT: (n_tokens, width) -> the same, or (n_posts, width) where first tokens alone go on."""
    [attention_out], [inner, outer] = plan.architecture.attention_out, plan.architecture.feed_forward
    context = _context(layer, hidden, posts, plan, index, rotations)
    attended = layer.get_submodule(attention_out)(context, _rows(hidden, posts, plan, index))
    result: Tensor = layer.get_submodule(outer)(layer.get_submodule(inner)(attended), attended)
    return result


def _pre_norm_layer(
    layer: nn.Module, hidden: Tensor, posts: Posts, plan: Plan, index: int, rotations: Mapping[str, Rotation]
) -> Tensor:
    """One layer of ModernBERT or EuroBERT; shapes as above."""
    names = plan.architecture
    assert names.pre_norm is not None
    before_attention, before_feed_forward = names.pre_norm
    context = _context(layer, layer.get_submodule(before_attention)(hidden), posts, plan, index, rotations)
    rows = _rows(hidden, posts, plan, index) + _through(layer, names.attention_out, context)
    return rows + _through(layer, names.feed_forward, layer.get_submodule(before_feed_forward)(rows))


def _first_only(plan: Plan, index: int) -> bool:
    """Whether nothing of this layer is read but what it makes of first tokens."""
    return plan.pooled == "first" and index == plan.layers - 1


def _rows(vectors: Tensor, posts: Posts, plan: Plan, index: int) -> Tensor:
    """Those of the tokens that go on from this layer."""
    return vectors[posts.starts[:-1]] if _first_only(plan, index) else vectors


def _context(
    layer: nn.Module, vectors: Tensor, posts: Posts, plan: Plan, index: int, rotations: Mapping[str, Rotation]
) -> Tensor:
    """What the tokens that go on take from their posts: (n_tokens, width) -> (n_rows, heads x width of a head)."""
    linears = [layer.get_submodule(name) for name in plan.architecture.attention_in]
    if len(linears) == 1:
        query, key, value = linears[0](vectors).chunk(3, dim=-1)
        query = _rows(query, posts, plan, index)
    else:
        query = linears[0](_rows(vectors, posts, plan, index))
        key, value = (linear(vectors) for linear in linears[1:])
    width = query.shape[-1] // plan.heads
    query = query.unflatten(-1, (plan.heads, width))
    key, value = (part.unflatten(-1, (plan.key_heads, width)) for part in (key, value))
    if rotation := rotations.get(plan.kinds[index]):
        cos, sin = rotation
        query = rotated(query, (_rows(cos, posts, plan, index), _rows(sin, posts, plan, index)))
        key = rotated(key, rotation)
    return attend(
        query,
        key,
        value,
        posts,
        reach=plan.reach_of(index),
        dropout=_dropout_rate(layer.get_submodule(plan.architecture.attention)),
        first_only=_first_only(plan, index),
    )


def _dropout_rate(attention: nn.Module) -> float:
    """Of attention weights; 0 out of training."""
    if not attention.training:
        return 0.0
    dropout = getattr(attention, "dropout", None)
    return dropout.p if isinstance(dropout, nn.Dropout) else float(getattr(attention, "attention_dropout", 0.0))


def _head(model: nn.Module, backbone: nn.Module, plan: Plan, hidden: Tensor, posts: Posts) -> Tensor:
    """The model's own head: (n_tokens, width), or (n_posts, width) of first tokens -> (n_posts, n_classes)."""
    names = plan.architecture
    rows = backbone.get_submodule(names.final_norm)(hidden) if names.final_norm else hidden
    if plan.pooled == "mean":
        rows = _means(rows, posts)
    # the heads of BERT and RoBERTa take position 0 of (n_posts, n_tokens, width), others any axes
    logits = _through(model, names.head, rows[:, None]).flatten(0, -2)
    return _means(logits, posts) if plan.pooled == "late" else logits


def _means(rows: Tensor, posts: Posts) -> Tensor:
    """The mean of each post's tokens: (n_tokens, width) -> (n_posts, width)."""
    sizes = [length * count for length, count in posts.runs]
    parts = zip(torch.split(rows, sizes), posts.runs, strict=True)
    return torch.cat([part.view(count, length, -1).mean(dim=1) for part, (length, count) in parts])


def _through(model: nn.Module, names: Sequence[str], vectors: Tensor) -> Tensor:
    """What modules make of vectors, one after the other."""
    for name in names:
        vectors = model.get_submodule(name)(vectors)
    return vectors


def _padding_index(embeddings: nn.Module) -> int | None:
    """Index of the padding position of the RoBERTa family; others have none."""
    positions = getattr(embeddings, "position_embeddings", None)
    return positions.padding_idx if isinstance(positions, nn.Embedding) else None
