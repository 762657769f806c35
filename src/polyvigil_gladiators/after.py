"""What is made of a finished bundle: its scores of the test posts, and its audit; each a file, whole or not there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from polyvigil.bundle import dev as stored_posts
from polyvigil.bundle.dev import StoredDev, stored
from polyvigil.bundle.store import load
from polyvigil.checks.audit.shortcuts import ShortcutAudit, audit_shortcuts
from polyvigil.data.atomic import whole_file, write_whole
from polyvigil.data.formats import Row
from polyvigil.data.read import Reading
from polyvigil.errors import DataError
from polyvigil.types import LabelledPost
from polyvigil.workflows.train import TrainingData
from polyvigil_gladiators.test_posts import TestPosts

_CHUNK = 2_000
"""Posts scored between two reports of progress."""


def score_test_posts(
    bundle: Path, test: TestPosts, output: Path, *, device: str, progress: Callable[[float], None]
) -> None:
    """Score the test posts by every member of a bundle, and keep the scores in ``output``; no text is kept.

    ``progress`` is given the share done, in [0, 1]; what it raises ends the scoring, and nothing is written.
    """
    opened = load(bundle, device=device)
    chunks: list[NDArray[np.float64]] = []
    for start in range(0, len(test.posts), _CHUNK):
        chunks.append(opened.member_probabilities(test.posts[start : start + _CHUNK]))
        progress(min(1.0, (start + _CHUNK) / len(test.posts)))
    scores = stored(np.concatenate(chunks, axis=1), test.items)
    with tempfile.TemporaryDirectory() as folder:
        stored_posts.write(scores, Path(folder) / output.name)
        with whole_file(output, replace=True) as stream:
            stream.write((Path(folder) / output.name).read_bytes())


def read_scores(path: Path) -> StoredDev:
    """What ``score_test_posts`` kept; labels are test_posts.UNKNOWN where there were none. Raises DataError."""
    try:
        return stored_posts.read(path)
    except (OSError, ValueError, KeyError, IndexError, SafetensorError) as error:
        raise DataError(
            f"unreadable ({type(error).__name__})", where=str(path), hint="remove it: it is made again"
        ) from error


def audit_bundle(bundle: Path, data: TrainingData, output: Path, *, device: str) -> None:
    """``polyvigil audit shortcuts`` of a bundle on the dev posts, ``material.train`` being what it learned from."""
    audit = audit_shortcuts(load(bundle, device=device), _reading(data.dev), train=_reading(data.train))
    write_whole(output, audit.model_dump_json(indent=1) + "\n", replace=True)


def read_audit(path: Path) -> ShortcutAudit:
    """What ``audit_bundle`` wrote. Raises DataError."""
    try:
        return ShortcutAudit.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"unreadable ({type(error).__name__})", where=str(path), hint="remove it: it is made again"
        ) from error


def _reading(items: Sequence[LabelledPost]) -> Reading:
    """Posts as if they had been read from a file; their other columns are not kept."""
    return Reading("posts", tuple(items), tuple(Row(number + 2, {}) for number in range(len(items))), (), ())
