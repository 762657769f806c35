"""Linear layers in bfloat16: products of rounded numbers, summed in float32.

What lies between the layers of a block (queries, keys, values, the inner half of the feed-forward network) stays in
bfloat16, which is what torch's attention kernel for posts of all lengths takes on CUDA; the residual stream, layer
norms, embeddings and the head stay in float32. A CPU without the arithmetic multiplies the rounded numbers in float32,
which is exact, as fast as float32, and takes its memory. docs/decisions/0011-int8.md has what was measured.
"""

from __future__ import annotations

from functools import cache

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
        if rows.device.type == "cpu" and not cpu_computes("bf16"):
            self._widen()
            return linear(rows.to(torch.bfloat16).float(), self.weight, self.bias).to(torch.bfloat16)
        bias = None if self.bias is None else self.bias.to(torch.bfloat16)
        return linear(rows.to(torch.bfloat16), self.weight.to(torch.bfloat16), bias)

    def _widen(self) -> None:
        """Hold the same numbers in float32 from now on: to convert them for every pack costs more than a short pack."""
        if self.weight.dtype != torch.float32:  # the weight last: another thread that finds it wide finds all wide
            self.bias = None if self.bias is None else nn.Parameter(self.bias.float(), requires_grad=False)
            self.weight = nn.Parameter(self.weight.float(), requires_grad=False)


@cache
def cpu_computes(precision: str) -> bool:
    """Whether torch multiplies matrices in ``precision`` (fp32, bf16, fp16) with instructions of this CPU; without them
    it is many times slower than in float32."""
    supported = getattr(torch.ops.mkldnn, f"_is_mkldnn_{precision}_supported", None)  # None in a torch without oneDNN
    return precision == "fp32" or (supported is not None and supported())
