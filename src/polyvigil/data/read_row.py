"""One row to a post: the schema of the shared task, checked. A row that is none is an error with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import regex

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import ROLES, ColumnMap
from polyvigil.data.formats import Row, RowError, Table, undecoded_reason
from polyvigil.data.languages import FileLanguages, HeadRow, first_rows
from polyvigil.data.shown import shown_value
from polyvigil.text.normalise import placeholder_reason
from polyvigil.types import Post

MAX_CHARACTERS = 1_000_000
"""Of a text, an id or another part of a post: what is longer is no post, and would take much memory to score."""
TOO_LONG = "too many characters for a post"
_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
_ENDS_IN_ROLE = regex.compile(rf"[^a-z]({'|'.join(_SPLITS)})$")


@dataclass(frozen=True, slots=True)
class ReadPost:
    """A post, the row it came from, and its label where the file is read for labels."""

    post: Post
    row: Row
    label: int | None = None
    language_detected: bool = False
    language_given: str = ""
    """The language as the row writes it."""
    label_given: str = ""
    """The label as the row writes it, where the file is read for labels."""
    purpose: str = ""
    """Why people read the post, as a worklist writes it (data.selection)."""
    inclusion_p: str = ""
    """The probability with which it was chosen, as the row writes it."""


def read_rows(
    table: Table, columns: ColumnMap, spec: DataSpec, *, labelled: bool, languages: FileLanguages | None = None
) -> Iterator[ReadPost | RowError]:
    """Each row of an open table as a post or a row error, in order. Without ``labelled`` an empty text is none.

    ``languages``: of a file that is read in parts; without it the table is read from its first row.
    """
    rows = table.rows
    if languages is None:
        languages, rows = languages_of(rows, columns, spec)
    for row in rows:
        yield row if isinstance(row, RowError) else _read_row(row, columns, languages, labelled=labelled)


def languages_of(
    rows: Iterator[Row | RowError], columns: ColumnMap, spec: DataSpec
) -> tuple[FileLanguages, Iterator[Row | RowError]]:
    """What finds the languages of a file, which looks at its first rows, and all of its rows."""
    head, rows = first_rows(rows, _text_length(columns))
    return FileLanguages(lambda: _head_rows(head, columns), default=spec.language), rows


def head_of(rows: Iterator[Row | RowError], columns: ColumnMap) -> list[HeadRow]:
    """Text and language of the first rows of a file, by which its languages are found."""
    head, _ = first_rows(rows, _text_length(columns))
    return _head_rows(head, columns)


def _text_length(columns: ColumnMap) -> Callable[[Row | RowError], int]:
    text = columns.columns["text"]
    return lambda row: len(cell_text(row.cell(text) if isinstance(row, Row) else row.cells.get(text)))


def _head_rows(rows: Iterable[Row | RowError], columns: ColumnMap) -> list[HeadRow]:
    text, language = columns.columns["text"], columns.get("language")
    return [
        HeadRow(cell_text(row.cell(text)), cell_text(row.cell(language)) if language else "")
        for row in rows
        if isinstance(row, Row)
    ]


def split_name(value: str) -> str:
    """A split by its usual name: ``validation`` is ``dev``, and ``SMM4H_2026_train`` is ``train``, as the shared task
    writes it; unknown names stay, in lower case."""
    value = value.strip().lower()
    ending = _ENDS_IN_ROLE.search(value)
    return _SPLITS.get(ending.group(1) if ending else value, value)


def _read_row(row: Row, columns: ColumnMap, languages: FileLanguages, *, labelled: bool) -> ReadPost | RowError:
    cells = dict.fromkeys(ROLES, "") | {role: cell_text(row.cell(name)) for role, name in columns.columns.items()}

    def invalid(role: str, reason: str) -> RowError:
        return RowError(row.line, columns.get(role) or role, reason, row.cells)

    for role, name in columns.columns.items():
        if len(cells[role]) > MAX_CHARACTERS:
            return invalid(role, f"{TOO_LONG} ({len(cells[role]):,}; the most are {MAX_CHARACTERS:,})")
        if cells[role].isascii() or not (reason := undecoded_reason(cells[role])):
            continue
        if isinstance(row.cell(name), bytes):
            return invalid(role, reason)
        if role != "text":  # JSON can escape half of a character; in a text it is replaced
            return invalid(role, "is no Unicode text: half of a character stands in it")
    text = cells["text"]
    if labelled and not text.strip("\0 \t\r\n"):
        return invalid("text", "empty")
    if labelled and placeholder_reason(text.strip()):
        return invalid("text", f"stands for a text that is gone ({shown_value(text.strip())})")
    identity = cells["id"] or f"row-{row.line}"
    kind = cells["type"]
    given = cells["language"].strip()
    try:
        language = languages.group(given, text, type=kind, id=identity)
    except ValueError:
        return invalid("language", f"{shown_value(given)} is not a language")
    post = Post(identity, text, language.group, kind, cells["origin"], split_name(cells["split"]), cells["group"])
    label = cells["label"].strip() if labelled else ""
    return ReadPost(
        post,
        row,
        language_detected=language.detected,
        language_given=given,
        label_given=label,
        purpose=cells["purpose"],
        inclusion_p=cells["inclusion_p"],
    )


def cell_text(value: Any) -> str:
    """A cell as text: empty for None and NaN, 1 and 0 for booleans; bytes as UTF-8, others kept by PEP 383."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return str(value)
