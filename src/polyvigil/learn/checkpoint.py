"""Checkpoints of a training run: kill it at any instant, start it again, and it ends with the same bits.

A checkpoint is a folder that is there whole or not at all, safetensors and JSON, nothing pickled. The newest two are
kept; hashes are verified on loading, and where the newest is damaged the one before it serves. No state of a random
generator is stored: order and dropout follow from the seed and the position (learn.sampling). Of a finished run the
weights of its best epoch are kept alone: resumed, it gives the same result again and trains nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polyvigil.data.atomic import whole_folder
from polyvigil.detect.base import EpochRecord
from polyvigil.errors import TrainingError
from polyvigil.learn.disk import KEPT, PARAMETER_BYTES, DiskUse
from polyvigil.types import Frozen

Tensors: TypeAlias = Mapping[str, torch.Tensor]

_PREFIX = "checkpoint-"
_HEADER = "checkpoint.json"
_BEST = "best.safetensors"
_PARTS = ("model", "moments", "best")


class Progress(Frozen):
    """Where a run stands. Floats survive JSON bit by bit."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    epoch: int = 0
    """Epochs finished, their dev posts scored."""
    step: int = 0
    """Steps finished of the epoch under way."""
    posts: int = 0
    loss: float = 0.0
    """Sum over the ``posts`` seen in the epoch under way."""
    seconds: float = 0.0
    micro_tokens: int
    scale: float | None = None
    """Of the fp16 gradient scaler, with ``growth`` its steps since the last change."""
    growth: int = 0
    records: tuple[EpochRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of a run that the next step depends on. ``best``: weights of the best epoch, empty before one.

    Of a finished run ``model`` and ``moments`` are empty: there is no next step.
    """

    progress: Progress
    model: Tensors
    moments: Tensors
    best: Tensors


class _Header(Frozen):
    """``checkpoint.json``; ``seal`` is the SHA-256 of the rest."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    fingerprint: str
    environment: dict[str, str]
    progress: Progress
    files: dict[str, str]
    seal: str = ""

    def sealed(self) -> _Header:
        text = self.model_copy(update={"seal": ""}).model_dump_json()
        return self.model_copy(update={"seal": hashlib.sha256(text.encode()).hexdigest()})


@dataclass(frozen=True, slots=True)
class Resumed:
    """What was loaded, and what the user should know about it."""

    snapshot: Snapshot
    notes: tuple[str, ...]


def fingerprint(parts: Iterable[str | NDArray[np.generic]]) -> str:
    """Hex digest of texts and arrays, in their order: what a run's result depends on."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
        whole.update(len(raw).to_bytes(8, "little"))
        whole.update(raw)
    return whole.hexdigest()


def save(folder: Path, snapshot: Snapshot, *, fingerprint: str, environment: Mapping[str, str]) -> None:
    """Write a checkpoint into ``folder`` and remove all but the newest two. Raises TrainingError on a full disk."""
    progress = snapshot.progress
    target = folder / f"{_PREFIX}{progress.epoch:04d}-{progress.step:08d}"  # zeros, so that names sort as numbers do
    try:
        with whole_folder(target, replace=True) as partial:
            files = {}
            for name in _PARTS:
                path = partial / f"{name}.safetensors"
                tensors: Tensors = getattr(snapshot, name)
                save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
                files[path.name] = _digest(path)
            header = _Header(
                fingerprint=fingerprint, environment=dict(environment), progress=progress, files=files
            ).sealed()
            (partial / _HEADER).write_text(header.model_dump_json(indent=1) + "\n", encoding="utf-8")
        for old in _generations(folder)[KEPT:]:  # only now that the new one is whole
            _remove(old)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the checkpoint cannot be written ({error})",
            where=str(target),
            hint="free some disk and run the same command again: it goes on from the last checkpoint",
        ) from error


def keep_best_alone(folder: Path) -> None:
    """Leave of a finished run in ``folder`` its newest checkpoint, and of that the best epoch's weights.

    Killed at any moment, ``newest`` still finds a checkpoint. Raises TrainingError on a full disk.
    """
    generations = _generations(folder)
    header = _read_header(generations[0]) if generations else None
    if header is None or set(header.files) == {_BEST}:
        return
    target = generations[0]
    try:
        with whole_folder(target, replace=True) as partial:
            _link(target / _BEST, partial / _BEST)
            files = {_BEST: header.files[_BEST]}
            sealed = header.model_copy(update={"files": files}).sealed()
            (partial / _HEADER).write_text(sealed.model_dump_json(indent=1) + "\n", encoding="utf-8")
        for old in generations[1:]:
            _remove(old)
    except OSError as error:
        raise TrainingError(
            f"the finished training cannot be tidied up ({error})",
            where=str(target),
            hint="free some disk and run the same command again: it goes on from the last checkpoint",
        ) from error


def newest(folder: Path, *, fingerprint: str, environment: Mapping[str, str]) -> Resumed | None:
    """The newest undamaged checkpoint of ``folder``; None where there is none yet. Damaged newer ones are removed.

    Raises TrainingError when it belongs to a run of other settings or posts, or when all are damaged.
    """
    if not folder.is_dir():
        return None
    for leftover in (*folder.glob(f".{_PREFIX}*.partial"), *folder.glob(f".{_PREFIX}*.old")):
        shutil.rmtree(leftover, ignore_errors=True)
    damaged: list[Path] = []
    for path in _generations(folder):
        header = _read_header(path)
        if header is None:
            damaged.append(path)
            continue
        if header.fingerprint != fingerprint:
            raise TrainingError(
                "the checkpoints there are those of another run: its settings, posts or seed differ",
                where=str(folder),
                hint="choose another work folder, or remove this one to begin anew",
            )
        snapshot = _read(path, header)
        if snapshot is None:
            damaged.append(path)
            continue
        for bad in damaged:
            _remove(bad)
        return Resumed(
            snapshot, (*(f"{bad.name} was damaged and is removed" for bad in damaged), *_changes(header, environment))
        )
    if damaged:
        raise TrainingError(
            f"all {len(damaged)} checkpoints there are damaged", where=str(folder), hint="remove it to begin anew"
        )
    return None


def check_disk(folder: Path, *, use: DiskUse) -> int:
    """Bytes that this training and what follows it take at most, free or already used (learn.disk).

    Raises TrainingError when the disk has less.
    """
    folder.mkdir(parents=True, exist_ok=True)
    need = use.most
    used = sum(file.stat().st_size for file in folder.glob(f"{_PREFIX}*/*") if file.is_file())
    free = shutil.disk_usage(folder).free + used
    if free < need:
        members = f", and members of {use.member / 1e9:.1f} GB" if use.member else ""
        raise TrainingError(
            f"checkpoints need {use.checkpoints / 1e9:.1f} GB ({use.trained / 1e6:.0f}M parameters x "
            f"{PARAMETER_BYTES} bytes x {KEPT + 1}){members}: {need / 1e9:.1f} GB in all, the disk has "
            f"{free / 1e9:.1f} GB free",
            where=str(folder),
            hint="free some disk, or choose a work folder on another one",
        )
    return need


def _generations(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((path for path in folder.glob(f"{_PREFIX}*") if path.is_dir()), reverse=True)


def _remove(path: Path) -> None:
    """Out of the way in one instant, then removed: a half-removed checkpoint never bears the name of one."""
    aside = path.with_name(f".{path.name}.old")
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _read_header(path: Path) -> _Header | None:
    try:
        header = _Header.model_validate_json((path / _HEADER).read_bytes())
    except (OSError, ValidationError):
        return None
    return header if header.sealed() == header else None


def _read(path: Path, header: _Header) -> Snapshot | None:
    """The tensors of a checkpoint, or None where a byte of them is not as it was written."""
    if set(header.files) not in ({_BEST}, {f"{name}.safetensors" for name in _PARTS}):
        return None
    try:
        if {name: _digest(path / name) for name in header.files} != header.files:
            return None
        model, moments, best = (
            load_file(path / file) if (file := f"{name}.safetensors") in header.files else {} for name in _PARTS
        )
        return Snapshot(header.progress, model, moments, best)
    except (OSError, SafetensorError):
        return None


def _changes(header: _Header, environment: Mapping[str, str]) -> list[str]:
    return [
        f"the checkpoint was written with {name} {header.environment.get(name)}, now it is {value}: the last digits of "
        "the result may differ from an unbroken run"
        for name, value in environment.items()
        if header.environment.get(name) != value
    ]


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy of it where the file system knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
