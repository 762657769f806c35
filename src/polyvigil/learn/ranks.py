"""Several processes as one: each takes its share of a step's posts, and the gradients are summed (DDP's mathematics).

``learn.process_group`` brings them together; without it there is one process and nothing here does anything. Every
process holds the whole model. Small things (flags, texts) travel between CPUs, where a process that has ended is
noticed at once.
Every method of Ranks must be called by all processes, in the same order: none may be left out after an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from polyvigil.errors import TrainingError
from polyvigil.learn.memory import is_out_of_memory


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which process this is (``rank``, from 0) of how many (``size``).

    Every method that speaks to the others raises TrainingError when one of them has ended.
    """

    rank: int = 0
    size: int = 1

    def share(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Every ``size``-th item: the shares of all processes hold each item once."""
        return items[self.rank :: self.size]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of ``values`` over all processes, in place."""
        if self.size > 1:
            with _reaching_all():
                distributed.all_reduce(values)
        return values

    def total_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sum each gradient over all processes; a process without posts adds zero, an unused weight keeps None."""
        if self.size == 1:
            return
        used = self.total(torch.tensor([float(p.grad is not None) for p in parameters])).tolist()
        for parameter, users in zip(parameters, used, strict=True):
            if users:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                self.total(parameter.grad)

    def highest(self, value: int) -> int:
        """The highest of all processes' values."""
        if self.size == 1:
            return value
        values = torch.tensor([value])
        with _reaching_all():
            distributed.all_reduce(values, op=distributed.ReduceOp.MAX)
        return int(values)

    def lowest(self, value: int) -> int:
        """The lowest of all processes' values."""
        return -self.highest(-value)

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return self.highest(int(flag)) > 0

    def wait(self) -> None:
        """Until every process is here."""
        self.highest(0)

    def first_text(self, text: str) -> str:
        """The first process's text."""
        if self.size == 1:
            return text
        raw = text.encode() if not self.rank else b""
        letters = torch.zeros(self.highest(len(raw)), dtype=torch.uint8)
        letters[: len(raw)] = torch.tensor(list(raw), dtype=torch.uint8)
        self.first_values([letters])
        return letters.numpy().tobytes().decode()

    def first_values(self, tensors: Iterable[torch.Tensor]) -> None:
        """Put the first process's values into ``tensors``, in place; shapes and types are the same everywhere."""
        if self.size > 1:
            with _reaching_all(), torch.no_grad():
                for tensor in tensors:
                    distributed.broadcast(tensor, src=0)

    def first_tensors(self, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """The first process's tensors, on the CPU, whatever the others have."""
        if self.size == 1:
            return tensors
        shapes = [(name, list(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in tensors.items()]
        headers = json.loads(self.first_text(json.dumps(shapes)))
        if self.rank:
            tensors = {name: torch.empty(shape, dtype=getattr(torch, dtype)) for name, shape, dtype in headers}
        else:
            tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        self.first_values(tensors.values())
        return tensors


def this_rank() -> Ranks:
    """This process among those that ``learn.process_group`` brought together."""
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return Ranks()


@contextmanager
def _reaching_all() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            "another process of this training has ended or does not answer",
            hint="look for its message, then run the same command again: it goes on from the last checkpoint",
        ) from error
