"""Between a running training and its checkpoints: when to save, what of the live objects, and how to put it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from polyvigil.errors import TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.checkpoint import Progress, Snapshot, Tensors
from polyvigil.learn.disk import DiskUse
from polyvigil.learn.step import Stepper


@dataclass(frozen=True, slots=True)
class ResumeState:
    """Where a run stands. ``best``: weights of the best epoch so far, on the CPU; empty before the first."""

    progress: Progress
    best: Tensors


class CheckpointManager:
    """Saves and resumes a run in ``work``; does nothing where that is None. Of several processes the first writes."""

    def __init__(
        self, work: Path | None, stepper: Stepper[Any], *, fingerprint: str, minutes: float, log: Callable[[str], None]
    ) -> None:
        self.work = work
        self.stepper = stepper
        self.fingerprint = fingerprint
        self.minutes = minutes
        self.log = log
        self.environment = {
            "torch": torch.__version__,
            "device": stepper.device.type,
            "threads": str(torch.get_num_threads()),
            "processes": str(stepper.ranks.size),
        }
        self._saved = time.monotonic()

    def resume(self, *, micro_tokens: int) -> ResumeState:
        """Put weights and optimiser where the last checkpoint left them. Raises TrainingError (disk, another run)."""
        fresh = ResumeState(Progress(micro_tokens=micro_tokens), {})
        if self.work is None:
            return fresh
        snapshot = self._shared(None if self.stepper.ranks.rank else self._newest(self.work))
        if snapshot is None:
            return fresh
        if snapshot.model:  # a finished run has none: it takes no further step
            load_weights(self.stepper.encoder.model, snapshot.model)
            self.stepper.restore_moments(snapshot.moments)
            self.stepper.restore_scale(snapshot.progress.scale, growth=snapshot.progress.growth)
        fitting = min(snapshot.progress.micro_tokens, micro_tokens)  # what fitted before, or less if less is set now
        return ResumeState(snapshot.progress.model_copy(update={"micro_tokens": fitting}), snapshot.best)

    def _newest(self, work: Path) -> Snapshot | None:
        """The newest checkpoint, and what is to be said of it."""
        parameters = sum(p.numel() for p in trained(self.stepper.encoder.model).values())
        need = checkpoint.check_disk(work, use=DiskUse(parameters))
        self.log(f"checkpoints in {work} take up to {need / 1e9:.1f} GB")
        loaded = checkpoint.newest(work, fingerprint=self.fingerprint, environment=self.environment)
        if loaded is None:
            return None
        progress = loaded.snapshot.progress
        for note in (*loaded.notes, f"resuming after {progress.epoch} epochs and {progress.step} steps"):
            self.log(note)
        return loaded.snapshot

    def _shared(self, snapshot: Snapshot | None) -> Snapshot | None:
        """What the first process found, in every process: the others need no disk."""
        ranks = self.stepper.ranks
        text = ranks.first_text(snapshot.progress.model_dump_json() if snapshot else "")
        if ranks.size == 1 or not text:
            return snapshot
        model, moments, best = (
            ranks.first_tensors(part)
            for part in ((snapshot.model, snapshot.moments, snapshot.best) if snapshot else ({}, {}, {}))
        )
        return Snapshot(Progress.model_validate_json(text), model, moments, best)

    def due(self) -> bool:
        """Whether the last checkpoint is old enough for a new one."""
        return time.monotonic() - self._saved >= 60 * self.minutes

    def keep(self, progress: Progress, best: Tensors) -> None:
        """Save a checkpoint. Raises TrainingError on a full disk."""
        if self.work is None or self.stepper.ranks.rank:
            return
        model = {name: p.detach() for name, p in trained(self.stepper.encoder.model).items()}
        scaled = progress.model_copy(update={"scale": self.stepper.scale, "growth": self.stepper.growth})
        snapshot = Snapshot(scaled, model, self.stepper.moments(), best)
        checkpoint.save(self.work, snapshot, fingerprint=self.fingerprint, environment=self.environment)
        self._saved = time.monotonic()


def trained(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name: all of them, or adapters and head (learn.lora)."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def load_weights(model: torch.nn.Module, weights: Tensors) -> None:
    """Copy ``weights`` into the trained parameters of the same names. Raises TrainingError when names differ."""
    parameters = trained(model)
    if parameters.keys() != weights.keys():
        raise TrainingError("the checkpoint holds another model's weights", hint="choose another work folder")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
