"""One optimiser step, whatever fits into memory: micro-batches, precision, clipping, AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.errors import TrainingError
from polyvigil.learn.checkpoint import Tensors
from polyvigil.learn.memory import is_out_of_memory, release
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.schedule import parameter_groups
from polyvigil.nn.batching import token_batches
from polyvigil.nn.bf16 import cpu_computes
from polyvigil.nn.windows import Pieces, TokenIds, pieces

_FUSED = {"cpu", "cuda", "mps", "xpu"}
_AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SMALLEST_SCALE = 2.0**-14
OVERFLOW = (
    "the numbers overflow: set training.precision = 'fp32' (mDeBERTa cannot be trained in fp16; with "
    "training.gradient_checkpointing = true it needs less memory), or a lower training.learning_rate"
)
NO_MEMORY = (
    "set training.gradient_checkpointing = true, a lower model.max_tokens, training.precision = 'bf16', or choose a "
    "smaller model"
)


class Tokens(Protocol):
    """Whatever a step is made of: at least the token ids of its posts, in one row or in windows (nn.windows)."""

    @property
    def tokens(self) -> Sequence[TokenIds]: ...


class Trainee(Protocol):
    """What a step needs of an encoder (nn.encoder, nn.masked)."""

    model: torch.nn.Module

    @property
    def device(self) -> torch.device: ...

    @property
    def packed(self) -> bool: ...


class StepSettings(Protocol):
    """What a step needs of TrainingSpec and AdaptSpec."""

    @property
    def weight_decay(self) -> float: ...

    @property
    def weight_decay_on(self) -> Literal["weights", "all"]: ...

    @property
    def clip(self) -> float: ...

    @property
    def precision(self) -> str: ...


B = TypeVar("B", bound=Tokens)


@dataclass(frozen=True, slots=True)
class StepResult:
    """``loss``: sum over the step's posts. ``micro_tokens``: the budget that fitted into memory."""

    loss: float
    micro_tokens: int


class Stepper(Generic[B]):
    """An encoder under AdamW: the only thing that changes its weights.

    ``losses`` gives the loss of each post at some indices of a batch, (n,), differentiable, with no more tokens at once
    than its last argument; a step's loss is their mean over the posts of the whole batch.
    """

    def __init__(
        self,
        encoder: Trainee,
        *,
        spec: StepSettings,
        ranks: Ranks,
        losses: Callable[[B, NDArray[np.int64], int], torch.Tensor],
    ) -> None:
        self.encoder = encoder
        self.spec = spec
        self.ranks = ranks
        self.losses = losses
        self.device = encoder.device
        self.parameters = [p for p in encoder.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            parameter_groups(encoder.model, weight_decay=spec.weight_decay, on=spec.weight_decay_on),
            lr=0.0,  # set at each step
            fused=self.device.type in _FUSED,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=spec.precision == "fp16")

    @property
    def is_slow_here(self) -> bool:
        """Whether this is a CPU that has no arithmetic of the precision that is asked for, only a way around it."""
        return self.device.type == "cpu" and not cpu_computes(self.spec.precision)

    def step(self, batch: B, *, rate: float, seed: int, micro_tokens: int, where: str) -> StepResult:
        """Change the weights once by the mean loss of ``batch``: the same change whatever ``micro_tokens`` is.

        ``rate``: learning rate; ``seed``: of the dropout masks. When memory runs out in any process, all begin the step
        again with half the tokens at once. Raises TrainingError when one window alone does not fit, or a loss or
        gradient is no number; in all processes together.
        """
        result = self._gradients(batch, seed=seed, micro_tokens=micro_tokens, where=where)
        if not math.isfinite(result.loss):
            raise TrainingError(f"the loss is {result.loss}", where=where, hint=OVERFLOW)
        self.ranks.total_gradients(self.parameters)
        self.scaler.unscale_(self.optimiser)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.spec.clip))
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise TrainingError(f"the gradient's norm is {norm}", where=where, hint=OVERFLOW)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        try:
            self.scaler.step(self.optimiser)  # in fp16 a step whose gradients overflow is left out, the scale halved
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError("no memory for the optimiser's moments", where=where, hint=NO_MEMORY) from error
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.scaler.is_enabled() and self.scaler.get_scale() < _SMALLEST_SCALE:
            raise TrainingError("the gradients overflow at any scale", where=where, hint=OVERFLOW)
        return result

    def moments(self) -> Tensors:
        """The optimiser's state: ``<parameter>.exp_avg``, ``.exp_avg_sq`` and ``.step``."""
        return {
            f"{name}.{key}": value
            for name, parameter in self.encoder.model.named_parameters()
            for key, value in self.optimiser.state.get(parameter, {}).items()
        }

    def restore_moments(self, moments: Tensors) -> None:
        """Put back what ``moments`` gave."""
        for name, parameter in self.encoder.model.named_parameters():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (value := moments.get(f"{name}.{key}")) is not None:
                    self.optimiser.state[parameter][key] = value.to(parameter.device, copy=True)

    @property
    def scale(self) -> float | None:
        """The gradient scaler's factor; None without one."""
        return float(self.scaler.get_scale()) if self.scaler.is_enabled() else None

    @property
    def growth(self) -> int:
        """Steps since the gradient scaler last changed its factor."""
        return int(self.scaler.state_dict().get("_growth_tracker", 0))

    def restore_scale(self, scale: float | None, *, growth: int) -> None:
        """Put back what ``scale`` and ``growth`` gave."""
        if scale is not None:
            self.scaler.load_state_dict(self.scaler.state_dict() | {"scale": scale, "_growth_tracker": growth})

    def _gradients(self, batch: B, *, seed: int, micro_tokens: int, where: str) -> StepResult:
        indices = self.ranks.share(np.arange(len(batch.tokens)))
        lengths = np.array([batch.tokens[index].size for index in indices], dtype=np.int64)
        while True:
            micro_batches = token_batches(lengths, budget=micro_tokens, padded=not self.encoder.packed)
            loss: float | None = None
            try:
                loss = self._backward(
                    batch, [indices[some] for some in micro_batches], seed=seed, micro_tokens=micro_tokens
                )
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # outside of the except block: an error keeps the tensors of the frames it came through
            if not self.ranks.any(loss is None):
                return StepResult(float(self.ranks.total(torch.tensor(loss, dtype=torch.float64))), micro_tokens)
            self.optimiser.zero_grad(set_to_none=True)
            release(self.device)
            held = [part for some in micro_batches for part in parts(windows_of(batch, indices[some]), micro_tokens)]
            alone = loss is None and max(map(len, held)) == 1
            if longest := self.ranks.highest(max(len(row) for part in held for row in part) if alone else 0):
                raise TrainingError(
                    f"no memory for one post of {longest} tokens at a time", where=where, hint=NO_MEMORY
                )
            fitting = micro_tokens
            if loss is None:  # half of what was tried, which may be less than the budget
                fitting = max(1, min(micro_tokens, max(int(lengths[some].sum()) for some in micro_batches)) // 2)
            micro_tokens = self.ranks.lowest(fitting)

    def _backward(self, batch: B, micro_batches: Sequence[NDArray[np.int64]], *, seed: int, micro_tokens: int) -> float:
        """Add the gradient of (sum of losses / posts of the step), micro-batch by micro-batch; the sum of own losses.

        Speaks to no other process, since it may fail in one alone.
        """
        losses = []
        # dropout is seeded by the step; whatever else draws from the generators finds them as they were
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else [], device_type="cuda"):
            torch.manual_seed(seed)
            for indices in micro_batches:
                loss = self.losses(batch, indices, micro_tokens).sum()
                torch.autograd.backward(self.scaler.scale(loss / len(batch.tokens)))
                losses.append(loss.detach())  # read once, at the end: each reading waits for the device
        return float(torch.stack(losses).double().sum()) if losses else 0.0


def autocast(spec: StepSettings, device: torch.device) -> torch.autocast:
    """In which the forward pass runs."""
    return torch.autocast(device.type, dtype=_AUTOCAST[spec.precision], enabled=spec.precision != "fp32")


def windows_of(batch: Tokens, indices: NDArray[np.int64]) -> Pieces:
    """What is read of the posts at these indices."""
    return pieces([batch.tokens[index] for index in indices])


def parts(windows: Pieces, budget: int) -> list[Sequence[TokenIds]]:
    """A micro-batch as it is; or a post that is over the budget in runs of its windows that are not."""
    rows = windows.rows
    # several posts are within the budget already, by which token_batches chose them; one alone may be over it
    if len(rows) == 1 or len(windows.starts) > 2 or sum(map(len, rows)) <= budget:
        return [rows]
    per_run = max(1, budget // len(rows[0]))
    return [rows[first : first + per_run] for first in range(0, len(rows), per_run)]
