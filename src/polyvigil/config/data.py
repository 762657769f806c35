"""``[data]``: how files are read, which column plays which part, and what the labels mean."""

from __future__ import annotations

from pathlib import PurePath
from typing import ClassVar, Literal

from pydantic import Field

from polyvigil.config.base import Spec

Role = Literal["id", "text", "label", "origin", "type", "language", "split", "group", "purpose", "inclusion_p"]
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

    unwritten_defaults: ClassVar[frozenset[str]] = frozenset({"file_columns", "trained_columns", "trained_labels"})

    columns: dict[Role, str] = Field(
        default={}, description='which column of the file plays which part, e.g. {text = "tweet"}'
    )
    file_columns: dict[str, dict[Role, str]] = Field(
        default={},
        description='the same for one file alone, by its name or the end of its path, e.g. {"old.csv" = {label = "y"}}',
    )
    trained_columns: dict[Role, str] = Field(
        default={}, description="columns that a bundle was trained with: taken where a file has them"
    )
    labels: dict[str, Literal[0, 1]] = Field(
        default={},
        description="what other labels mean, e.g. {yes = 1, no = 0}; 0, 1 and yes, no need no entry",
    )
    trained_labels: dict[str, Literal[0, 1]] = Field(
        default={}, description="what labels meant that a bundle was trained with: taken where they fit the file"
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

    @property
    def of_files(self) -> DataSpec:
        """The settings that say how files are read, without those of a kind of model."""
        return DataSpec(**{name: getattr(self, name) for name in DataSpec.model_fields})

    def columns_of(self, file: str) -> dict[Role, str]:
        """The columns that are given for a file: its own before those of all files."""
        of_file = (columns for name, columns in self.file_columns.items() if names_file(name, file))
        return {**self.columns, **{role: column for columns in of_file for role, column in columns.items()}}


class FoldedDataSpec(DataSpec):
    """Of a model that is learned in seconds, so that it can be learned several times."""

    folds: int = Field(
        default=5,
        ge=0,
        le=50,
        description="without a dev file: thresholds are tuned on all posts, each scored by a model that has not "
        "learned from its fold, of so many; below 2: dev_share is held out instead",
    )


class EncoderDataSpec(DataSpec):
    """Of a model whose training takes long: folds are trained where they are asked for, and are then the members."""

    folds: int = Field(
        default=0,
        ge=0,
        le=20,
        description="without a dev file: so many members, each trained on all folds but one; thresholds are tuned on "
        "all posts, each scored by the member that has not learned from it; below 2: dev_share is held out instead",
    )


def names_file(name: str, file: str) -> bool:
    """Whether a file is called ``name``: that is its path or the end of it, as ``train.csv`` of ``data/train.csv``."""
    parts = PurePath(name).parts
    return bool(parts) and PurePath(file).parts[-len(parts) :] == parts
