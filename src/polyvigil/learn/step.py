"""One optimiser step, whatever fits into memory: micro-batches, precision, clipping, AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.checkpoint import checkpoint

from polyvigil.errors import TrainingError
from polyvigil.learn.checkpoint import Tensors
from polyvigil.learn.distil import SoftTargets
from polyvigil.learn.losses import per_post_loss, soft_cross_entropy
from polyvigil.learn.memory import is_out_of_memory, release
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.schedule import parameter_groups
from polyvigil.nn.batching import token_batches
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.pooling import pooled_logits
from polyvigil.nn.windows import Pieces, TokenIds, pieces
from polyvigil.records import Labels
from polyvigil.specs import TRAINED_POOLING, Pooling, TrainingSpec

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


@dataclass(frozen=True, slots=True)
class Batch:
    """The posts of one step. ``weights`` (n,) multiply the losses of the labels; a teacher's posts all weigh 1."""

    tokens: Sequence[TokenIds]
    labels: Labels
    weights: NDArray[np.float64]
    soft: SoftTargets | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """``loss``: sum over the step's posts. ``micro_tokens``: the budget that fitted into memory."""

    loss: float
    micro_tokens: int


class Stepper:
    """An encoder under AdamW: the only thing that changes its weights. The loss is of posts, ``pooling`` of windows."""

    def __init__(
        self, encoder: Encoder, *, spec: TrainingSpec, ranks: Ranks, pooling: Pooling = TRAINED_POOLING
    ) -> None:
        self.encoder = encoder
        self.spec = spec
        self.ranks = ranks
        self.pooling = pooling
        self.per_post = per_post_loss(spec)
        self.device = encoder.device
        self.parameters = [p for p in encoder.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            parameter_groups(encoder.model, weight_decay=spec.weight_decay), lr=0.0, fused=self.device.type in _FUSED
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=spec.precision == "fp16")

    def step(self, batch: Batch, *, rate: float, seed: int, micro_tokens: int, where: str) -> StepResult:
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

    def _gradients(self, batch: Batch, *, seed: int, micro_tokens: int, where: str) -> StepResult:
        mine = self.ranks.share(np.arange(len(batch.tokens)))
        lengths = np.array([batch.tokens[place].size for place in mine], dtype=np.int64)
        while True:
            places = token_batches(lengths, budget=micro_tokens, padded=not self.encoder.packed)
            loss: float | None = None
            try:
                loss = self._backward(batch, [mine[some] for some in places], seed=seed, micro_tokens=micro_tokens)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # outside of the except block: an error keeps the tensors of the frames it came through
            if not self.ranks.any(loss is None):
                return StepResult(float(self.ranks.total(torch.tensor(loss, dtype=torch.float64))), micro_tokens)
            self.optimiser.zero_grad(set_to_none=True)
            release(self.device)
            held = [part for some in places for part in _parts(_windows(batch, mine[some]), micro_tokens)]
            alone = loss is None and max(map(len, held)) == 1
            if longest := self.ranks.highest(max(len(row) for part in held for row in part) if alone else 0):
                raise TrainingError(
                    f"no memory for one post of {longest} tokens at a time", where=where, hint=NO_MEMORY
                )
            fitting = micro_tokens
            if loss is None:
                fitting = max(1, min(micro_tokens, max(int(lengths[some].sum()) for some in places)) // 2)
            micro_tokens = self.ranks.lowest(fitting)

    def _backward(
        self, batch: Batch, micro_batches: Sequence[NDArray[np.int64]], *, seed: int, micro_tokens: int
    ) -> float:
        """Add the gradient of (sum of losses / posts of the step), micro-batch by micro-batch; the sum of own losses.

        Speaks to no other process, since it may fail in one alone.
        """
        losses = []
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else [], device_type="cuda"):
            torch.manual_seed(seed)
            for places in micro_batches:
                labels = torch.from_numpy(batch.labels[places].astype(np.int64)).to(self.device)
                weights = torch.from_numpy(batch.weights[places].astype(np.float32)).to(self.device)
                windows = _windows(batch, places)
                logits = self._logits(_parts(windows, micro_tokens))
                pooled = pooled_logits(logits, windows.starts, self.pooling)
                of_posts = self.per_post(pooled, labels) * weights
                if batch.soft is not None:
                    of_posts = _with_teacher(of_posts, pooled, batch.soft.of(places))
                loss = of_posts.sum()
                torch.autograd.backward(self.scaler.scale(loss / len(batch.tokens)))
                losses.append(loss.detach())
        return float(torch.stack(losses).double().sum()) if losses else 0.0

    def _logits(self, parts: Sequence[Sequence[TokenIds]]) -> torch.Tensor:
        """Logits of the windows of all parts, float32 (n_windows, 2). Of several parts the activations of one are held.

        They are computed again when the gradient comes by, with the same dropout: Gao et al. 2021 (GradCache).
        """

        def ask(_: torch.Tensor, rows: Sequence[TokenIds]) -> torch.Tensor:
            with self._precision():
                return self.encoder.logits(rows).float()

        here = torch.empty(0, device=self.device)  # tells checkpoint whose random state to keep
        if len(parts) == 1:
            return ask(here, parts[0])
        return torch.cat([checkpoint(ask, here, part, use_reentrant=False) for part in parts])

    def _precision(self) -> torch.autocast:
        name = self.spec.precision
        return torch.autocast(self.device.type, dtype=_AUTOCAST[name], enabled=name != "fp32")


def _windows(batch: Batch, places: NDArray[np.int64]) -> Pieces:
    return pieces([batch.tokens[place] for place in places])


def _parts(windows: Pieces, budget: int) -> list[Sequence[TokenIds]]:
    """A micro-batch as it is; or a post that is over the budget in runs of its windows that are not."""
    rows = windows.rows
    if len(rows) == 1 or len(windows.starts) > 2 or sum(map(len, rows)) <= budget:
        return [rows]
    at_once = max(1, budget // len(rows[0]))
    return [rows[first : first + at_once] for first in range(0, len(rows), at_once)]


def _with_teacher(of_labels: torch.Tensor, logits: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """(1 - weight) of a post's own loss and ``weight`` of its distance to the teacher: (n,)."""
    targets = torch.from_numpy(soft.targets.astype(np.float32)).to(logits.device)
    taught = soft_cross_entropy(logits, targets, temperature=soft.temperature)
    return (1 - soft.weight) * of_labels + soft.weight * taught
