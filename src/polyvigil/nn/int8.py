"""Linear layers in 8-bit integers, on a CPU: weights by output channel, activations row by row as they come.

A token's scale and zero point hang on that token alone, and sums of integers are exact: what stands beside a post
cannot move its score. Weights have 7 of the 8 bits: a CPU without VNNI adds two products in 16, and 2 x 255 x 64 fits.
docs/decisions/0011-int8.md has what was measured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from polyvigil.errors import RecipeError

_WEIGHT_STEPS = 64  # each way: 7 bits
_ROW_STEPS = 255
_ROWS = 256  # at once: what is between the steps stays in the cache, and oneDNN makes kernels for few shapes


class Int8Linear(nn.Module):
    """y = x W' + b of a ``torch.nn.Linear``, for x of shape (n_rows, n_in), float32."""

    scales: Tensor
    sums: Tensor
    bias: Tensor
    no_points: Tensor

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        weight = source.weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / _WEIGHT_STEPS
        steps = (weight / scales[:, None]).round().clamp(-_WEIGHT_STEPS, _WEIGHT_STEPS)
        bias = torch.zeros(len(weight)) if source.bias is None else source.bias.detach().float().clone()
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("sums", steps.sum(dim=1) * scales, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.register_buffer("no_points", torch.zeros(len(weight), dtype=torch.int64), persistent=False)
        self._packed = torch.ops.onednn.qlinear_prepack(steps.to(torch.int8), [_ROWS, weight.shape[1]])

    def forward(self, rows: Tensor) -> Tensor:
        """(n_rows, n_in) -> (n_rows, n_out), or with further axes before these."""
        flat = rows.reshape(-1, rows.shape[-1])
        result = torch.empty(len(flat), len(self.scales))
        for start in range(0, len(flat), _ROWS):
            part = flat[start : start + _ROWS]
            low = part.amin(dim=1, keepdim=True)
            step = (part.amax(dim=1, keepdim=True) - low).div_(_ROW_STEPS).clamp_min_(torch.finfo(torch.float32).tiny)
            integers = (part - low).div_(step).round_().to(torch.uint8)
            product = torch.ops.onednn.qlinear_pointwise(
                *(integers, 1.0, 0, self._packed, self.scales, self.no_points, None),
                *(1.0, 0, torch.float32, "none", [], ""),
            )
            torch.addcmul(self.bias, product, step, out=product)
            torch.addcmul(product, low, self.sums, out=result[start : start + _ROWS])
        return result.view(*rows.shape[:-1], -1)


def check() -> None:
    """Raise RecipeError where this torch or this CPU cannot do it."""
    if not _works():
        raise RecipeError(
            f"torch {torch.__version__} has no int8 arithmetic for this processor",
            hint="use the bundle that was exported to int8",
        )


def _works() -> bool:
    """Whether a layer gives what the same arithmetic in float32 gives: the proof before it is used."""
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            source, rows = nn.Linear(32, 16), torch.randn(5, 32)
            layer = Int8Linear(source)
            return torch.allclose(layer(rows), by_float(layer, source, rows), rtol=1e-4, atol=1e-4)
    except (AttributeError, NotImplementedError, RuntimeError):
        return False


def by_float(layer: Int8Linear, source: nn.Linear, rows: Tensor) -> Tensor:
    """What ``layer``, made of ``source``, says of ``rows`` (n_rows, n_in), by its definition and without integers."""
    low, high = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    step = (high - low) / _ROW_STEPS
    weight = (source.weight / layer.scales[:, None]).round() * layer.scales[:, None]
    return linear(((rows - low) / step).round() * step + low, weight, source.bias)
