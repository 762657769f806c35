"""Which posts stand behind each row of a table: one mask per language group, and the pooled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from polyvigil.text.language import counted_when_pooled

POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class Groups:
    """Masks of shape (n_posts,)."""

    names: NDArray[np.str_]
    """The language group of each post: shape (n_posts,)."""
    pooled: NDArray[np.bool_]
    """Those that pooled metrics include, as the official score of the shared task (text.language)."""
    languages: Mapping[str, NDArray[np.bool_]]
    """By language group, in alphabetical order."""


def groups_of(languages: Sequence[str]) -> Groups:
    """The groups of posts with these languages, (n_posts,) in their order. Raises ValueError without posts."""
    if not len(languages):
        raise ValueError("no posts")
    names = np.asarray(languages)
    masks = {str(name): names == name for name in np.unique(names)}
    return Groups(names, counted_when_pooled(names.tolist()), MappingProxyType(masks))
