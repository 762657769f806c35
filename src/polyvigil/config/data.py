"""``[data]``: which column plays which part, and what the labels mean."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyvigil.config.base import Spec

Role = Literal["id", "text", "label", "origin", "type", "language", "split", "group"]


class DataSpec(Spec):
    """How columns and labels of a file are named."""

    columns: dict[Role, str] = Field(
        default={}, description='which column of the file plays which part, e.g. {text = "tweet"}'
    )
    labels: dict[str, Literal[0, 1]] = Field(
        default={},
        description="what other labels mean, e.g. {yes = 1, no = 0}; 0, 1 and yes, no need no entry",
    )
    language: str = Field(
        default="",
        description="the language of all posts, e.g. en; in a file with a column of languages, of rows without one",
    )
    dev_share: float = Field(
        default=0.2, gt=0, lt=1, description="share of the training posts held out for tuning when no dev file is given"
    )
