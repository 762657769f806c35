"""Attention inside each of many posts that are laid end to end, without padding.

In: queries, keys and values of all tokens of a pack, and where its posts begin. Out: what each token takes from its own
post, never from a neighbour: from all of it, or from a window around the token. Several heads may share keys and
values; rotary positions restart with every post. On a GPU one kernel takes all posts, elsewhere it goes length by
length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_BLOCK = 256
"""Queries of a long post that look at their windows together: more cost masked products, fewer cost calls."""


@dataclass(frozen=True, slots=True)
class Posts:
    """Posts end to end, longest first. ``ids``, ``positions``: (n_tokens,); ``starts``: (n_posts + 1,) int32.

    ``runs``: length and number of each group of equally long posts, in order.
    """

    ids: Tensor
    positions: Tensor
    starts: Tensor
    runs: tuple[tuple[int, int], ...]


Rotation: TypeAlias = tuple[Tensor, Tensor]
"""Cosines and sines of each token's angles: (n_tokens, width of a head) each."""


def lay_out(items: Sequence[NDArray[np.int32]], *, padding: int | None, device: torch.device) -> Posts:
    """Lay posts, longest first, end to end; ``padding``: the index of RoBERTa's padding position, None without one."""
    lengths = np.array([len(item) for item in items], dtype=np.int64)
    ids = np.concatenate(items).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    if padding is None:  # 0, 1, 2 ...
        positions = np.arange(len(ids)) - np.repeat(starts[:-1], lengths)
    else:  # RoBERTa: from padding + 1, and a padding token inside a post (someone typed "<pad>") is not counted
        real = ids != padding
        before = np.concatenate([[0], np.cumsum(real)])
        positions = (before[1:] - np.repeat(before[starts[:-1]], lengths)) * real + padding
    sizes, first = np.unique(-lengths, return_index=True)  # negated, since unique sorts upward and posts stand downward
    counts = np.diff(np.append(first, len(lengths)))
    return Posts(
        ids=torch.from_numpy(ids).to(device),
        positions=torch.from_numpy(positions).to(device),
        starts=torch.from_numpy(starts.astype(np.int32)).to(device),  # varlen_attn takes no other type
        runs=tuple(zip((-sizes).tolist(), counts.tolist(), strict=True)),
    )


def rotated(vectors: Tensor, rotation: Rotation) -> Tensor:
    """(n, heads, width) turned by their tokens' angles, in float32 (Su et al. 2021): the same shape and type."""
    half = vectors.shape[-1] // 2
    cos, sin = (part[:, None].float() for part in rotation)
    first, second = vectors[..., :half].float(), vectors[..., half:].float()
    turned = torch.cat(
        [
            torch.addcmul(first * cos[..., :half], second, sin[..., :half], value=-1),
            torch.addcmul(second * cos[..., half:], first, sin[..., half:]),
        ],
        dim=-1,
    )
    return turned.to(vectors.dtype)


def attend(
    query: Tensor, key: Tensor, value: Tensor, posts: Posts, *, reach: int | None, dropout: float, first_only: bool
) -> Tensor:
    """Attention inside each post: query (n_rows, heads, width), key and value (n_tokens, key_heads, width) ->
    (n_rows, heads x width).

    ``first_only``: rows are the posts' first tokens, otherwise all tokens. ``reach``: how many tokens before and after
    it a token sees; None: the whole post.
    """
    if dropout == 0 and _flash_takes(query):  # the kernel knows no dropout
        return _flash(query, key, value, posts, reach=reach, first_only=first_only)
    outputs, row, token = [], 0, 0
    for length, count in posts.runs:
        n_queries = 1 if first_only else length
        part = _of_equal_length(
            *(_by_post(query, row, count, n_queries), _by_post(key, token, count, length)),
            _by_post(value, token, count, length),
            reach=reach,
            dropout=dropout,
        )
        outputs.append(part.transpose(1, 2).reshape(count * n_queries, -1))
        row, token = row + count * n_queries, token + count * length
    return torch.cat(outputs)


def _by_post(vectors: Tensor, start: int, count: int, length: int) -> Tensor:
    """Those of ``count`` posts: (n, heads, width) -> (count, heads, length, width)."""
    return vectors[start : start + count * length].view(count, length, *vectors.shape[1:]).transpose(1, 2)


def _of_equal_length(query: Tensor, key: Tensor, value: Tensor, *, reach: int | None, dropout: float) -> Tensor:
    """(count, heads, n_queries, width), the queries those of the first tokens -> the same."""
    shared = query.shape[1] != key.shape[1]
    n_queries, length = query.shape[2], key.shape[2]
    if reach is None or length <= reach + 1:
        return scaled_dot_product_attention(query, key, value, dropout_p=dropout, enable_gqa=shared)
    parts = []
    for start in range(0, n_queries, _BLOCK):  # of a post of thousands of tokens no map of all its pairs is made
        end = min(start + _BLOCK, n_queries)
        first, last = max(0, start - reach), min(length, end + reach)
        near = None
        if max(end - 1 - first, last - 1 - start) > reach:
            rows = torch.arange(start, end, device=query.device)[:, None]
            near = (rows - torch.arange(first, last, device=query.device)).abs() <= reach
        parts.append(
            scaled_dot_product_attention(
                query[:, :, start:end],
                key[:, :, first:last],
                value[:, :, first:last],
                attn_mask=near,
                dropout_p=dropout,
                enable_gqa=shared,
            )
        )
    return torch.cat(parts, dim=2)


def _flash_takes(query: Tensor) -> bool:
    """Whether torch's variable-length attention takes this: half precision on CUDA, Ampere or newer, torch >= 2.10."""
    if not query.is_cuda or query.dtype not in {torch.float16, torch.bfloat16}:
        return False
    if query.shape[-1] % 8 or query.shape[-1] > 256 or torch.cuda.get_device_capability(query.device)[0] < 8:
        return False
    return find_spec("torch.nn.attention.varlen") is not None


def _flash(query: Tensor, key: Tensor, value: Tensor, posts: Posts, *, reach: int | None, first_only: bool) -> Tensor:
    """All posts in one kernel, without the loop; untested where the project has no GPU."""
    from torch.nn.attention.varlen import varlen_attn

    starts, longest = posts.starts, posts.runs[0][0]
    window = (-1, -1) if reach is None else (reach, reach)
    if first_only and reach is not None and longest > reach + 1:
        # the kernel's windows are counted from a post's end, which fits no first token: its keys are cut instead
        near = posts.positions <= reach
        key, value, longest, window = key[near], value[near], reach + 1, (-1, -1)
        starts = torch.nn.functional.pad(starts.diff().clamp(max=longest).cumsum(0, dtype=torch.int32), (1, 0))
    rows = torch.arange(len(starts), device=query.device, dtype=torch.int32) if first_only else starts
    result = varlen_attn(
        *(query, key, value, rows, starts, 1 if first_only else longest, longest),
        window_size=window,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(result, Tensor)  # a pair only where more is asked for
    return result.flatten(1)
