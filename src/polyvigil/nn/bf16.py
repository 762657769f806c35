"""Linear layers in bfloat16, on a GPU or a CPU that has its arithmetic: products of rounded numbers, summed in float32.

What lies between the layers of a block (queries, keys, values, the inner half of the feed-forward network) stays in
bfloat16, which is what torch's attention kernel for posts of all lengths takes on CUDA; the residual stream, layer
norms, embeddings and the head stay in float32. docs/decisions/0011-int8.md has what was measured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Bf16Linear(nn.Module):
    """y = x W' + b of a ``torch.nn.Linear``: any floating x of shape (..., n_in) -> bfloat16 (..., n_out)."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(source.weight.detach().to(torch.bfloat16), requires_grad=False)
        bias = None if source.bias is None else source.bias.detach().to(torch.bfloat16)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Rounded to bfloat16 where it is not yet."""
        return linear(rows.to(torch.bfloat16), self.weight, self.bias)
