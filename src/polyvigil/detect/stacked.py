"""Logistic regression over a detector's P and the features that another one sees in a post.

The paper's question: do GLiNER's features add to a fine-tuned encoder? Its coefficients are 7.01 for P and below 0.23
for each of the nine, and F1 stays the same (Singh 2026). ``learn.stacked`` says how the coefficients are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from polyvigil.detect.base import (
    Detector,
    Evidence,
    FitRecord,
    Lengths,
    Read,
    ReadsWindows,
    TrainingLog,
    Window,
    read_windows,
)
from polyvigil.detect.occlusion import occlusion
from polyvigil.detect.reading import read_config, unreadable
from polyvigil.types import Frozen, Post, Probabilities

CONFIG_FILE = "config.json"
BASE, FURTHER = "base", "further"
"""Folders of the two detectors inside a stacked member's (bundle.layout allows them)."""
_CLOSEST = 1e-6  # P is held this far from 0 and 1, so that its logit is finite


class Featured(Detector, Protocol):
    """A detector that tells more about a post than one number."""

    feature_names: ClassVar[tuple[str, ...]]

    def features(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """(n_posts, n_features), in the order of ``posts`` and of ``feature_names``."""
        ...


class StackedConfig(Frozen):
    """All of a stacked member but the two detectors in it."""

    kind: Literal["stacked"] = "stacked"
    base: Literal["linear", "encoder"]
    further: Literal["ner", "nli"]
    base_as: Literal["logit", "p"]
    features: tuple[str, ...]
    """Of the further detector, in order."""
    intercept: float
    coefficients: tuple[float, ...]
    """First that of the base's P or its logit, then one for each feature."""

    @model_validator(mode="after")
    def _as_many(self) -> StackedConfig:
        if (
            len(self.coefficients) != 1 + len(self.features)
            or not np.isfinite([self.intercept, *self.coefficients]).all()
        ):
            raise ValueError("there must be one finite coefficient for P and one for each feature")
        return self


@dataclass(frozen=True, slots=True)
class StackedDetector:
    """sigmoid(intercept + sum of coefficient x feature)."""

    base: Detector
    further: Featured
    config: StackedConfig

    kind: ClassVar[str] = "stacked"

    @property
    def fit_record(self) -> FitRecord:
        """The base's: the further detector learned from no post."""
        return self.base.fit_record

    @property
    def normalisation(self) -> str:
        """The base's, which is the further detector's too (``assemble``)."""
        return self.base.normalisation

    @property
    def log(self) -> TrainingLog | None:
        """The base's, of its training on all posts."""
        return self.base.log

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """See detect.base.Detector."""
        return self.read(posts).probabilities

    def read(self, posts: Sequence[Post]) -> Read:
        """See detect.base.ReadsWindows: the windows are the base's."""
        if not posts:
            return Read(np.empty(0), np.empty(0, dtype=np.int64))
        read = read_windows(self.base, posts)
        matrix = design(read.probabilities, self.further.features(posts), base_as=self.config.base_as)
        logits = self.config.intercept + (matrix * np.array(self.config.coefficients)).sum(axis=1)
        return Read(1.0 / (1.0 + np.exp(-logits)), read.carried)

    def locate(self, posts: Sequence[Post], carried: NDArray[np.int64]) -> list[Window]:
        """See detect.base.ReadsWindows. Raises TypeError where the base reads none, and so carries none."""
        if not isinstance(self.base, ReadsWindows):
            raise TypeError(f"a detector of kind {self.base.kind} reads no windows")
        return self.base.locate(posts, carried)

    def lengths(self, posts: Sequence[Post]) -> Lengths | None:
        """The base's."""
        return self.base.lengths(posts)

    def evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        """See detect.base.Detector: occlusion."""
        return occlusion(self.probabilities, posts, self.normalisation)

    def save(self, folder: Path) -> None:
        """Write ``config.json``, and each of the two detectors into a folder of its own."""
        for name, part in ((BASE, self.base), (FURTHER, self.further)):
            (folder / name).mkdir()
            part.save(folder / name)
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def design(p: Probabilities, features: NDArray[np.float64], *, base_as: Literal["logit", "p"]) -> NDArray[np.float64]:
    """What the regression is over: (n_posts, 1 + n_features), the base's P or logit first."""
    held = np.clip(p, _CLOSEST, 1 - _CLOSEST)
    first = np.log(held) - np.log1p(-held) if base_as == "logit" else p
    return np.column_stack([first, features])


def read(folder: Path) -> StackedConfig:
    """What ``save`` wrote, but for the two detectors. Raises BundleError when it is damaged."""
    return read_config(folder / CONFIG_FILE, StackedConfig, what="stacked detector")


def assemble(folder: Path, config: StackedConfig, *, base: Detector, further: Featured) -> StackedDetector:
    """The detector of ``config`` with the two in it, which the bundle's loader has read.

    Raises BundleError where the features are others than those it was fitted on, or the two read posts differently.
    """
    if further.feature_names != config.features or further.normalisation != base.normalisation:
        raise unreadable(folder, ValueError("other features"), what="stacked detector")
    return StackedDetector(base, further, config)
