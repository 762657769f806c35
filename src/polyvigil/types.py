"""Values that every package shares, all frozen: posts, arrays of scores and labels, the base of records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Frozen(BaseModel):
    """Base of every settings class, result and stored record: frozen, an unknown field is an error.

    Half a surrogate pair in a text (a name or an id of a damaged file), which JSON cannot hold, becomes U+FFFD.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_surrogates(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        return {
            name: _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value for name, value in fields.items()
        }


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
