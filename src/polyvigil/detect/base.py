"""What every detector is, and what is remembered of how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from polyvigil.records import LabelledPost, Post, Probabilities


class FitRecord(BaseModel):
    """How a detector was fitted: enough to fit it again and to notice that a set of posts is used twice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    posts: int
    positives: int
    languages: tuple[str, ...]
    """Language groups with at least one positive and one negative training post, sorted."""
    train_fingerprint: str


@dataclass(frozen=True, slots=True)
class Lengths:
    """``tokens`` int32 (n_posts,), special tokens included, before any cut; ``truncated`` bool (n_posts,)."""

    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]


class Detector(Protocol):
    """Fitted and immutable: there is no unfitted detector."""

    kind: ClassVar[str]

    @property
    def fit_record(self) -> FitRecord: ...

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """P(ADE), shape (n_posts,), in [0, 1], in the order of ``posts``, the same whatever the other posts are."""
        ...

    def lengths(self, posts: Sequence[Post]) -> Lengths | None:
        """How many tokens each post has and whether some were cut off; None from a detector that counts no tokens."""
        ...

    def save(self, folder: Path) -> None:
        """Write the detector into an existing empty folder; the module's ``load(folder)`` reads it back, bit-equal."""
        ...


D_co = TypeVar("D_co", bound=Detector, covariant=True)


class Learner(Protocol[D_co]):
    """Makes a detector."""

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> D_co: ...
