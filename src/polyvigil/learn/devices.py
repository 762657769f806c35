"""How fast a device trains: a table of known cards, which needs no torch; or a layer of the model's shape, timed here.

The table's values are peaks from the makers' data sheets: without sparsity, in fp16 with sums in fp32, as torch does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median

from polyvigil.errors import RecipeError
from polyvigil.nn.shapes import ModelShape, Precision

UTILISATION = 0.35
"""Share of the peak that a training reaches: an assumption (reported for models of this size: 0.2 to 0.5)."""
_BANDWIDTH_SHARE = 0.7
CONTEXT_BYTES = 600_000_000
"""What CUDA itself and its libraries hold on a card: an assumption (usually 0.4 to 0.8 GB)."""
_ENOUGH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class DeviceRate:
    """``operations`` and ``bytes``: of a second, as a training reaches them. ``memory``: bytes; 0 where not known.

    ``basis``: where the values come from, for the user; ``is_cpu``: whether attention keeps its maps there.
    """

    name: str
    operations: float
    bytes: float
    memory: int
    basis: str
    is_cpu: bool = False


@dataclass(frozen=True, slots=True)
class _Card:
    """Peaks in 10^12 operations a second (half precision on tensor cores, fp32), 10^9 bytes a second, 10^9 bytes."""

    half: float
    single: float
    bandwidth: float
    memory: float


CARDS = {
    "rtx-3060-12gb": _Card(25.5, 12.7, 360, 12.6),
    "rtx-4090": _Card(165, 82.6, 1008, 25.3),
    "a100-40gb": _Card(312, 19.5, 1555, 42.3),
    "a100-80gb": _Card(312, 19.5, 2039, 85.0),
    "h100": _Card(989, 67, 3350, 85.0),
    "l4": _Card(121, 30.3, 300, 24.0),
    "t4": _Card(65, 8.1, 320, 15.8),
}
"""By the names that --for-device takes."""


def named_device(name: str, *, precision: Precision) -> DeviceRate:
    """A card of the table. Raises RecipeError for another name."""
    card = CARDS.get(name.lower())
    if card is None:
        raise RecipeError(f"{name!r} is no device known here", where="--for-device", hint=f"one of {', '.join(CARDS)}")
    peak = card.single if precision == "fp32" else card.half
    return DeviceRate(
        name=name.lower(),
        operations=UTILISATION * peak * 1e12,
        bytes=_BANDWIDTH_SHARE * card.bandwidth * 1e9,
        memory=int(card.memory * 1e9),
        basis=f"estimated, not measured: {UTILISATION:.0%} of the card's {peak:g} TFLOPS assumed",
    )


@cache
def measured_device(shape: ModelShape, *, precision: Precision, device: str) -> DeviceRate:
    """This machine's ``device`` (auto: a GPU where there is one): one random layer of ``shape`` is trained for seconds.

    Raises RecipeError without torch, or for a device that cannot be used.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise RecipeError(
            "torch is not installed, so this machine cannot be measured",
            where="--dry-run",
            hint=f"name a device instead: --for-device {next(iter(CARDS))}; or install torch for this machine",
        ) from error
    from polyvigil.nn.bf16 import cpu_computes
    from polyvigil.nn.pretrained import move

    layer = torch.nn.TransformerEncoderLayer(
        shape.hidden, shape.heads, shape.intermediate, dropout=0.1, activation="gelu", batch_first=True
    )
    move(layer, device)
    target = next(layer.parameters()).device
    gpu = target.type == "cuda"
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    slow = not gpu and not cpu_computes(precision)
    windows, tokens = (32, 64) if gpu else (1, 16) if slow else (16, 32)
    batch = torch.randn(windows, tokens, shape.hidden, device=target)

    def train_layer() -> None:
        with torch.autocast(target.type, dtype=half, enabled=half is not None):
            loss = layer(batch).float().square().mean()
        torch.autograd.backward(loss)

    def step_layer() -> None:
        optimiser.step()

    measured = shape.model_copy(update={"architecture": "bert", "local_layers": 0}) if shape.packed else shape
    one_layer = measured.model_copy(update={"layers": 2}).forward_operations(tokens)
    one_layer -= measured.model_copy(update={"layers": 1}).forward_operations(tokens)
    seconds = _seconds_of(train_layer, gpu=gpu)
    optimiser = torch.optim.AdamW(layer.parameters(), fused=True)
    moved = 28.0 * sum(p.numel() for p in layer.parameters())
    step_seconds = _seconds_of(step_layer, gpu=gpu)
    return DeviceRate(
        name=str(target),
        operations=3 * windows * one_layer / seconds,
        bytes=moved / step_seconds,
        memory=torch.cuda.get_device_properties(target).total_memory if gpu else _physical_memory(),
        basis=f"one random layer of this shape measured on it in {precision}; the training itself not measured"
        + ("; this CPU has no such arithmetic, and training.precision=fp32 is faster on it" if slow else ""),
        is_cpu=not gpu,
    )


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return 0


def _seconds_of(action: Callable[[], None], *, gpu: bool) -> float:
    """Median seconds of ``action`` over a few seconds, of which the first half is a warm-up and not counted."""
    import torch

    def act() -> None:
        action()
        if gpu:
            torch.cuda.synchronize()

    laps: list[float] = []
    begun = time.monotonic()
    while not laps or time.monotonic() - begun < _ENOUGH_SECONDS:
        marked = time.monotonic()
        act()
        laps.append(time.monotonic() - marked)
    return median(laps[len(laps) // 2 :])
