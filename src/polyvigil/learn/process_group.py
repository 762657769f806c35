"""Bring the processes of a launch together, give each its device, and let one of them tell what went wrong."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed.nn.functional  # before the group: its default arguments would keep it past its destruction,
from torch import distributed  # and gloo's threads with it, which abort the process when Python is gone
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from polyvigil.errors import RecipeError, TrainingError
from polyvigil.learn.launch import Launch

_PATIENCE = timedelta(minutes=30)  # how long a process waits for the others, for a bundle to be written for example
_FIRST = 5.0  # seconds in which the first process may claim the word before another does
_LAST = 1.0  # seconds in which the others may read who speaks, before the first process ends and the store with it
_ERROR, _READ = "fault", "read"


class ErrorElection:
    """Where processes that fail agree on the one that says so: the store of their launcher."""

    def __init__(self, store: Store, launch: Launch) -> None:
        self._store = PrefixStore("polyvigil", store)
        self._launch = launch

    def elect(self, code: int) -> int | None:
        """None when this process shall tell the error that ends it with exit code ``code``; else the teller's code.

        The first process is waited for, since an error of all is raised there; a launcher that ends the others when
        one has ended cannot end the teller any more.
        """
        rank, n_readers = self._launch.rank, self._launch.size - 1
        try:
            if rank:
                _poll(lambda: self._store.check([_ERROR]), seconds=_FIRST)
            shutdown_last()
            teller, elected_code = map(int, self._store.compare_set(_ERROR, "", f"{rank} {code}").split())
            if teller != rank:
                self._store.add(_READ, 1)
                return elected_code
            if not rank:
                _poll(lambda: self._store.add(_READ, 0) >= n_readers, seconds=_LAST)
        except RuntimeError:  # the store has ended with the process that held it, which has spoken
            return code
        return None


def shutdown_last() -> None:
    """From here on the launcher does not end this process when another one ends: it is about to speak."""
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _poll(done: Callable[[], bool], *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not done():
        time.sleep(0.02)


@contextmanager
def process_group(launch: Launch) -> Iterator[ErrorElection]:
    """Inside, the processes of ``launch`` work together (learn.ranks).

    After an error on GPUs the group is left as it is, for the process to end: destroying it would wait for the others.
    Raises TrainingError when they do not find one another.
    """
    gpus = torch.cuda.is_available() and distributed.is_nccl_available()
    try:
        store, _, _ = next(rendezvous("env://", launch.rank, launch.size, timeout=_PATIENCE))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",  # flags and texts travel by gloo, gradients of GPUs by nccl
            store=store,
            rank=launch.rank,
            world_size=launch.size,
            timeout=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"process {launch.rank} of {launch.size} does not find the others ({str(error).splitlines()[0]})",
            hint="start them with torchrun or accelerate launch; unset RANK and WORLD_SIZE to train in one process",
        ) from error
    try:
        yield ErrorElection(store, launch)
    except BaseException:
        if not gpus:
            distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def local_device(launch: Launch, requested: str) -> str:
    """The device of this process where ``requested`` is the user's choice: of GPUs, each takes that of its number.

    Raises RecipeError when one GPU is named for all, or when a machine has fewer GPUs than processes.
    """
    if launch.size == 1 or requested == "cpu" or (requested == "auto" and not torch.cuda.is_available()):
        return requested
    if requested not in {"auto", "cuda"}:
        raise RecipeError(
            f"{launch.size} processes cannot share one device",
            where=f"--device {requested}",
            hint="leave --device out: each process takes the GPU of its number; CUDA_VISIBLE_DEVICES chooses GPUs",
        )
    if launch.local_rank >= torch.cuda.device_count():
        raise RecipeError(
            f"this machine has {torch.cuda.device_count()} GPUs, fewer than processes",
            where=f"process {launch.rank}",
            hint="start as many processes on each machine as it has GPUs, or train with --device cpu",
        )
    torch.cuda.set_device(launch.local_rank)
    return f"cuda:{launch.local_rank}"
