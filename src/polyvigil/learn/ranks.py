"""Several processes as one: each takes its share of a step's posts, and the gradients are summed (DDP's mathematics).

Start them with torchrun or ``accelerate launch`` and call torch.distributed.init_process_group first; without that
there is one process and nothing here does anything. Every process holds the whole model: FSDP is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which process this is (``rank``, from 0) of how many (``size``)."""

    rank: int = 0
    size: int = 1

    def share(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Every ``size``-th item: the shares of all processes hold each item once."""
        return items[self.rank :: self.size]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of ``values`` over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def total_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sum each gradient over all processes; a process without posts adds zero, an unused weight keeps None."""
        if self.size == 1:
            return
        device = parameters[0].device
        used = self.total(torch.tensor([float(p.grad is not None) for p in parameters], device=device)).tolist()
        for parameter, users in zip(parameters, used, strict=True):
            if users:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                self.total(parameter.grad)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


def this_rank() -> Ranks:
    """This process among those that init_process_group brought together."""
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return Ranks()
