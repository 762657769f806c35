"""Between a running training and its checkpoints: when to save, what of the live objects, and how to put it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from polyvigil.errors import TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.checkpoint import Progress, Snapshot, Tensors
from polyvigil.learn.step import Stepper


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands. ``best``: weights of the best epoch so far, on the CPU; empty before the first."""

    progress: Progress
    best: Tensors


class Keeper:
    """Saves and resumes a run in ``work``; does nothing where that is None. Of several processes the first writes."""

    def __init__(
        self, work: Path | None, stepper: Stepper, *, fingerprint: str, minutes: float, say: Callable[[str], None]
    ) -> None:
        self.work = work
        self.stepper = stepper
        self.fingerprint = fingerprint
        self.minutes = minutes
        self.say = say
        self.environment = {
            "torch": torch.__version__,
            "device": stepper.device.type,
            "threads": str(torch.get_num_threads()),
            "processes": str(stepper.ranks.size),
        }
        self._saved = time.monotonic()

    def resume(self, *, micro_tokens: int) -> Standing:
        """Put weights and optimiser where the last checkpoint left them. Raises TrainingError (disk, another run)."""
        standing = Standing(Progress(micro_tokens=micro_tokens), {})
        if self.work is None:
            return standing
        model, ranks = self.stepper.encoder.model, self.stepper.ranks
        if ranks.rank:
            ranks.wait()  # the first process removes what is damaged; then the others look
        else:
            need = checkpoint.check_disk(self.work, parameters=sum(p.numel() for p in model.parameters()))
            self.say(f"checkpoints in {self.work} take up to {need / 1e9:.1f} GB")
        found = checkpoint.newest(self.work, fingerprint=self.fingerprint, environment=self.environment)
        if not ranks.rank:
            ranks.wait()
        if found is None:
            return standing
        progress = found.snapshot.progress
        for note in (*found.notes, f"resuming after {progress.epoch} epochs and {progress.step} steps"):
            self.say(note)
        put_weights(model, found.snapshot.model)
        self.stepper.restore_moments(found.snapshot.moments)
        self.stepper.restore_scale(progress.scale, growth=progress.growth)
        fitting = min(progress.micro_tokens, micro_tokens)
        return Standing(progress.model_copy(update={"micro_tokens": fitting}), found.snapshot.best)

    def due(self) -> bool:
        """Whether the last checkpoint is old enough for a new one."""
        return time.monotonic() - self._saved >= 60 * self.minutes

    def keep(self, progress: Progress, best: Tensors) -> None:
        """Save a checkpoint. Raises TrainingError on a full disk."""
        if self.work is None or self.stepper.ranks.rank:
            return
        model = {name: p.detach() for name, p in self.stepper.encoder.model.named_parameters()}
        scaled = progress.model_copy(update={"scale": self.stepper.scale, "growth": self.stepper.growth})
        snapshot = Snapshot(scaled, model, self.stepper.moments(), best)
        checkpoint.save(self.work, snapshot, fingerprint=self.fingerprint, environment=self.environment)
        self._saved = time.monotonic()


def put_weights(model: torch.nn.Module, weights: Tensors) -> None:
    """Copy ``weights`` into the parameters of the same names. Raises TrainingError when names differ."""
    parameters = dict(model.named_parameters())
    if parameters.keys() != weights.keys():
        raise TrainingError("the checkpoint holds another model's weights", hint="choose another work folder")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
