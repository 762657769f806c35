"""The few kinds of value that travel through the whole house. All are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Probabilities: TypeAlias = NDArray[np.float64]
"""P(ADE) of each post: shape (n_posts,), in [0, 1], in the order of the posts."""

Labels: TypeAlias = NDArray[np.int8]
"""Gold labels: shape (n_posts,), 0 or 1 (1 = the post mentions an adverse drug event)."""


@dataclass(frozen=True, slots=True)
class Post:
    """One post as it was read: ``text`` is untouched; ``language`` is a group such as ``de`` or ``de_cadec``."""

    id: str
    text: str
    language: str = "und"
    type: str = ""
    origin: str = ""
    split: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class LabelledPost:
    """A post with its gold label, 0 or 1."""

    post: Post
    label: int
