"""What a bundle remembers of its making, read without its members: no model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from polyvigil.bundle import layout
from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.dev import read as read_dev
from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.verify import verify
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.detect.base import TrainingLog
from polyvigil.errors import BundleError


@dataclass(frozen=True, slots=True)
class Record:
    """A bundle in ``folder`` without its weights: dev scores of its members, thresholds, how each was trained."""

    folder: Path
    manifest: Manifest
    policy: DecisionPolicy
    dev: StoredDev
    logs: tuple[TrainingLog | None, ...]
    """One for each member, those of a second stage last, as the rows of ``dev``; None for one without epochs."""


def read_record(folder: Path) -> Record:
    """Read and verify. Raises BundleError when the bundle is missing, damaged or changed after it was saved."""
    manifest = verify(folder)
    try:
        policy = DecisionPolicy.model_validate_json((folder / layout.POLICY).read_bytes())
        dev = read_dev(folder / layout.DEV)
        paths = [folder / entry.folder / layout.TRAINING_LOG for entry in manifest.all_members]
        logs = tuple(TrainingLog.model_validate_json(path.read_bytes()) if path.is_file() else None for path in paths)
    except (OSError, ValueError, SafetensorError, KeyError, IndexError) as error:
        raise BundleError(
            f"unreadable ({type(error).__name__})", where=str(folder), hint="remove it, and make it again"
        ) from error
    return Record(folder, manifest, policy, dev, logs)
