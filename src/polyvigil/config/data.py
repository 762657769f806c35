"""``[data]``: how files are read, which column plays which part, and what the labels mean."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyvigil.config.base import Spec

Role = Literal["id", "text", "label", "origin", "type", "language", "split", "group"]
Quoting = Literal["auto", "none", "minimal", "backslash"]
FileFormat = Literal[
    "auto",
    "csv",
    "tsv",
    "jsonl",
    "json",
    "parquet",
    "arrow",
    "xlsx",
    "label-studio",
    "argilla",
    "prodigy",
    "spacy",
    "doccano",
    "twitter",
]
"""``auto``: by the name and the first bytes; the last six are exports of annotation tools and of Twitter, as JSON."""


class DataSpec(Spec):
    """How files are read, and how their columns and labels are named."""

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
    format: FileFormat = Field(
        default="auto", description="the format of the files, or the tool that exported them; auto: recognised"
    )
    encoding: str = Field(default="", description="the encoding of text, e.g. cp1252, shift_jis; empty: recognised")
    delimiter: str = Field(
        default="", max_length=9, description="what stands between cells: one character or tab; empty: recognised"
    )
    quoting: Quoting = Field(
        default="auto",
        description='none: a " is a character; minimal: it quotes cells and is doubled in them; backslash: '
        "it has a \\ before it in them; auto: recognised",
    )
    header: bool = Field(default=True, description="whether the first line names the columns; else they are 1, 2, ...")
    sheet: str = Field(default="", description="the sheet of a workbook; empty: the first that holds anything")


class FoldedDataSpec(DataSpec):
    """Of a model that is learned in seconds, so that it can be learned several times."""

    folds: int = Field(
        default=5,
        ge=0,
        le=50,
        description="without a dev file: thresholds are tuned on all posts, each scored by a model that has not "
        "learned from its fold, of so many; below 2: dev_share is held out instead",
    )
