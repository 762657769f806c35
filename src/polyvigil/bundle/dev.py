"""What every member says of the dev posts, stored in a bundle so that thresholds are tuned again without a model.

In: probabilities (n_members, n_posts), labels. Out: `dev.safetensors`, without text: posts are known by 64-bit hashes.
`read_record` reads a bundle without its weights: these scores, the thresholds, the training logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from polyvigil.bundle import layout
from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.verify import verify
from polyvigil.data.fingerprint import post_keys
from polyvigil.data.packed_posts import field_array, field_of, labels_of, posts_of
from polyvigil.decide.combine import Combination
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.detect.base import TrainingLog
from polyvigil.errors import BundleError
from polyvigil.types import LabelledPost, Labels

_PLAIN = ("by_member", "labels", "groups", "keys")
_NAMED = ("languages", "types")  # kept as numbers, their names beside


@dataclass(frozen=True, slots=True)
class StoredDev:
    """``by_member`` (n_members, n_posts), in [0, 1]; the other fields (n_posts,).

    ``groups``: -1 for a post in none.
    """

    by_member: NDArray[np.float64]
    labels: Labels
    languages: NDArray[np.str_]
    types: NDArray[np.str_]
    groups: NDArray[np.int64]
    keys: NDArray[np.uint64]
    """Which post has which index (data.fingerprint.post_keys)."""
    second_stage: NDArray[np.float64] | None = None
    """The probabilities of the second stage's members, (n_members, n_posts), NaN where an endpoint was not asked or
    gave no answer; None without a second stage."""

    def scores(self, combination: Combination) -> DevScores:
        """What thresholds are tuned on."""
        return DevScores(combination.mean(self.counted(combination)), self.labels, self.languages)

    def counted(self, combination: Combination) -> NDArray[np.float64]:
        """``by_member`` with NaN where a member does not count in a post's language."""
        return combination.counted(self.by_member, self.languages.tolist())

    def indices_of(self, keys: NDArray[np.uint64]) -> NDArray[np.int64] | None:
        """Where the posts of these ``keys`` stand here, (n_posts,) in their order; None when they are other posts."""
        stored_order, given_order = np.argsort(self.keys, kind="stable"), np.argsort(keys, kind="stable")
        if not np.array_equal(self.keys[stored_order], keys[given_order]):
            return None
        indices = np.empty(len(keys), dtype=np.int64)
        indices[given_order] = stored_order
        return indices

    def split_stages(self, second: int) -> StoredDev:
        """The same with the last ``second`` rows of ``by_member`` as those of the second stage; as it is for 0."""
        if not second:
            return self
        return replace(self, by_member=self.by_member[:-second], second_stage=self.by_member[-second:])

    @property
    def group_names(self) -> list[str]:
        """As cross-fitting takes them: empty for a post in none."""
        return ["" if group < 0 else f"{group:09d}" for group in self.groups.tolist()]


def stored(by_member: NDArray[np.float64], items: Sequence[LabelledPost]) -> StoredDev:
    """Probabilities (n_members, n_posts) of labelled posts, in their order."""
    posts = posts_of(items)
    names = sorted({*field_of(posts, "group")} - {""})
    numbers = {"": -1} | {name: number for number, name in enumerate(names)}
    return StoredDev(
        by_member,
        labels_of(items),
        field_array(posts, "language"),
        field_array(posts, "type"),
        np.fromiter(map(numbers.__getitem__, field_of(posts, "group")), dtype=np.int64, count=len(items)),
        post_keys(items),
    )


def write(dev: StoredDev, path: Path) -> None:
    """One safetensors file; the rows of a second stage stand below those of the first."""
    arrays: dict[str, NDArray[np.generic]] = {name: getattr(dev, name) for name in _PLAIN}
    if dev.second_stage is not None:
        arrays["by_member"] = np.concatenate([dev.by_member, dev.second_stage])
    names = {}
    for column in _NAMED:
        values, codes = np.unique(getattr(dev, column), return_inverse=True)
        arrays[column] = codes.astype(np.int32)
        names[column] = json.dumps(values.tolist())
    save_file(arrays, path, metadata=names)


def read(path: Path) -> StoredDev:
    """What ``write`` wrote, bit by bit, the rows of both stages in ``by_member``.

    Raises ValueError, KeyError, IndexError or SafetensorError when damaged.
    """
    with safe_open(path, framework="numpy") as file:
        names = {column: np.array(json.loads((file.metadata() or {})[column]), dtype=np.str_) for column in _NAMED}
        dev = StoredDev(
            by_member=file.get_tensor("by_member"),
            labels=file.get_tensor("labels"),
            groups=file.get_tensor("groups"),
            keys=file.get_tensor("keys"),
            languages=names["languages"][file.get_tensor("languages")],
            types=names["types"][file.get_tensor("types")],
        )
    posts = len(dev.labels)
    lengths = {len(dev.languages), len(dev.types), len(dev.groups), len(dev.keys), dev.by_member.shape[-1]}
    if dev.by_member.ndim != 2 or lengths != {posts}:
        raise ValueError("its arrays are of different lengths")
    return dev


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
        dev = read(folder / layout.DEV)
        paths = [folder / entry.folder / layout.TRAINING_LOG for entry in manifest.all_members]
        logs = tuple(TrainingLog.model_validate_json(path.read_bytes()) if path.is_file() else None for path in paths)
    except (OSError, ValueError, SafetensorError, KeyError, IndexError) as error:
        raise BundleError(
            f"unreadable ({type(error).__name__})", where=str(folder), hint="remove it, and make it again"
        ) from error
    return Record(folder, manifest, policy, dev, logs)
