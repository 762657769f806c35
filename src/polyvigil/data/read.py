"""Rows to posts: the schema of the shared task, checked row by row. Bad rows are kept apart with their reason."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import regex

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import ROLES, ColumnMap, column_list, map_columns
from polyvigil.data.formats import Row, RowError, Table, open_source, undecoded_reason
from polyvigil.errors import DataError
from polyvigil.text.language import detect_languages, language_group
from polyvigil.text.normalise import model_text
from polyvigil.types import Frozen, LabelledPost, Post

OnError = Literal["quarantine", "fail"]
NO_LABEL = "'' is not 0 or 1"
"""The reason of a row whose label is empty."""
_NUMERIC_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
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
SPLIT_ROLES = ("train", "dev", "test")
"""The splits that have a use; others are names that mean nothing to this program."""


@dataclass(frozen=True, slots=True)
class ReadPost:
    """A post, the row it came from, and its label where the file is read for labels."""

    post: Post
    row: Row
    label: int | None = None
    language_detected: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """All labelled posts of a file, in its order; the rows set aside; what a user should know."""

    name: str
    posts: tuple[LabelledPost, ...]
    rows: tuple[Row, ...]
    row_errors: tuple[RowError, ...]
    notes: tuple[str, ...] = field(default=())


def read_labelled(
    source: str | Path | Table,
    spec: DataSpec | None = None,
    *,
    split: str = "",
    on_error: OnError = "quarantine",
    unlabelled_hint: str = "",
) -> Reading:
    """Read a file, or an open table, of labelled posts. ``split`` keeps the rows of that split only.

    ``unlabelled_hint``: of a command that measures, what to do with a file without labels; such a file's error then
    says that nothing can be measured. Raises DataError when nothing usable remains, or at the first bad row with
    ``on_error="fail"``.
    """
    spec = spec or DataSpec()
    split = split_name(split)
    good: list[ReadPost] = []
    row_errors: list[RowError] = []
    with open_source(source, spec) as table:
        required = ("text",) if unlabelled_hint else ("text", "label")
        columns = map_columns(table.columns, spec.columns, required=required, where=table.name, derived=table.derived)
        if columns.get("label") is None:
            raise DataError(
                "no label column, so nothing can be measured",
                where=table.name,
                hint=f"it has {column_list(table.columns)}: name it with --column label=NAME, or {unlabelled_hint}",
            )
        if split and columns.get("split") is None:
            raise DataError(f"no column for split, so split {split!r} cannot be picked", where=table.name)
        for item in read_rows(table, columns, spec, labelled=True):
            if isinstance(item, RowError):
                if on_error == "fail":
                    raise row_error(item, table.name)
                row_errors.append(item)
            elif not split or item.post.split == split:
                good.append(item)
    if unlabelled_hint and not good and row_errors and all(error.reason == NO_LABEL for error in row_errors):
        raise DataError(
            f'none of {len(row_errors):,} rows has a label (column "{columns.get("label")}"), so '
            "nothing can be measured",
            where=table.name,
            hint=f"label them 0 or 1, or {unlabelled_hint}",
        )
    if not good:
        what = f" of split {split!r}" if split else ""
        raise DataError(
            f"no usable row{what}; {len(row_errors):,} rows set aside"
            + (f", the first: {_description(row_errors[0])}" if row_errors else ""),
            where=table.name,
            hint=_advice(row_errors) or "check the file",
        )
    posts = tuple(LabelledPost(item.post, item.label) for item in good if item.label is not None)
    detected = sum(item.language_detected for item in good)
    error_counts = RowErrorCounts()
    for error in row_errors:
        error_counts.add(error)
    notes = [*table.notes, *(f"{table.name}: {guess}" for guess in columns.guesses), *error_counts.messages(table.name)]
    if detected:
        notes.append(f"{table.name}: language detected for {detected:,} posts without one")
    return Reading(table.name, posts, tuple(item.row for item in good), tuple(row_errors), tuple(notes))


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """All posts of a file, in its order, labels not looked at; the rows set aside; what a user should know."""

    name: str
    posts: tuple[Post, ...]
    row_errors: tuple[RowError, ...]
    notes: tuple[str, ...]


def read_unlabelled(
    source: str | Path | Table, spec: DataSpec | None = None, *, on_error: OnError = "quarantine"
) -> Unlabelled:
    """Read a file, or an open table, of posts for their texts and languages.

    Raises DataError at the first bad row with ``fail``.
    """
    spec = spec or DataSpec()
    posts: list[Post] = []
    row_errors: list[RowError] = []
    error_counts = RowErrorCounts()
    with open_source(source, spec) as table:
        columns = map_columns(table.columns, spec.columns, required=("text",), where=table.name, derived=table.derived)
        for item in read_rows(table, columns, spec, labelled=False):
            if isinstance(item, ReadPost):
                posts.append(item.post)
                continue
            if on_error == "fail":
                raise row_error(item, table.name)
            row_errors.append(item)
            error_counts.add(item)
    notes = (*table.notes, *(f"{table.name}: {guess}" for guess in columns.guesses), *error_counts.messages(table.name))
    return Unlabelled(table.name, tuple(posts), tuple(row_errors), notes)


def read_rows(table: Table, columns: ColumnMap, spec: DataSpec, *, labelled: bool) -> Iterator[ReadPost | RowError]:
    """Each row of an open table as a post or a row error, in order. Without ``labelled`` an empty text is none."""
    for row in table.rows:
        yield row if isinstance(row, RowError) else _read_row(row, columns, spec, labelled=labelled)


def row_error(error: RowError, name: str) -> DataError:
    """The error that names a row error: file, line, column, reason, next step."""
    return DataError(
        _description(error), where=f"{name}:{error.line}", hint=_advice([error]) or "mend the row or leave it out"
    )


def reject_line(name: str, error: RowError) -> str:
    """A row error as one line of a rejects file (JSONL): file, line, column, reason and the whole row."""
    record = {"file": name, "line": error.line, "column": error.column, "reason": error.reason}
    return json.dumps(record | {"row": dict(error.cells)}, default=str) + "\n"


class RowErrorKind(Frozen):
    """Row errors of one kind in a file: the first of them, and how many there are."""

    line: int
    column: str
    reason: str
    rows: int


class RowErrorCounts:
    """Counts row errors by kind and remembers the first of each, whatever their number."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], RowError] = {}
        self._kinds: Counter[tuple[str, str]] = Counter()

    def add(self, error: RowError, *, rows: int = 1) -> None:
        kind = (error.column, error.reason.split(" (")[0])
        self._kinds[kind] += rows
        self._first.setdefault(kind, RowError(error.line, error.column, error.reason))

    @property
    def kinds(self) -> tuple[RowErrorKind, ...]:
        """All of it as data, which ``add_kinds`` takes again."""
        return tuple(
            RowErrorKind(line=first.line, column=first.column, reason=first.reason, rows=self._kinds[kind])
            for kind, first in self._first.items()
        )

    def add_kinds(self, kinds: Iterable[RowErrorKind]) -> None:
        """Add the row errors of a later span of the same file."""
        for kind in kinds:
            self.add(RowError(kind.line, kind.column, kind.reason), rows=kind.rows)

    @property
    def total(self) -> int:
        return self._kinds.total()

    def messages(self, name: str) -> list[str]:
        """One line for each of the five most frequent kinds: the first line it stands on, how many, what to do."""
        lines = []
        for kind, number in self._kinds.most_common(5):
            first = self._first[kind]
            advice = _advice([first])
            lines.append(
                f"{name}:{first.line}: {_description(first)}"
                + (f"; {number:,} such rows" if number > 1 else "")
                + (f"; {advice}" if advice else "")
            )
        return lines


def split_name(value: str) -> str:
    """A split by its usual name: ``validation`` is ``dev``, and ``SMM4H_2026_train`` is ``train``, as the shared task
    writes it; unknown names stay, in lower case."""
    value = value.strip().lower()
    ending = _ENDS_IN_ROLE.search(value)
    return _SPLITS.get(ending.group(1) if ending else value, value)


def numeric_label(cell: Any) -> int | None:
    """The label that a cell holds: 0 or 1, also as 0.0, 1.0 or a boolean; None where it holds none."""
    return _NUMERIC_LABELS.get(cell_text(cell).strip())


def _read_row(row: Row, columns: ColumnMap, spec: DataSpec, *, labelled: bool) -> ReadPost | RowError:
    cells = dict.fromkeys(ROLES, "") | {role: cell_text(row.cell(name)) for role, name in columns.columns.items()}

    def invalid(role: str, reason: str) -> RowError:
        return RowError(row.line, columns.get(role) or role, reason, row.cells)

    for role, name in columns.columns.items():
        if isinstance(row.cell(name), bytes) and (reason := undecoded_reason(cells[role])):
            return invalid(role, reason)
    text = cells["text"]
    if labelled and not text.strip("\0 \t\r\n"):
        return invalid("text", "empty")
    label = None
    if labelled:
        raw = cells["label"].strip()
        label = spec.labels.get(raw, _NUMERIC_LABELS.get(raw))
        if label is None:
            return invalid("label", f"{_short(raw)} is not 0 or 1")
    identity = cells["id"] or f"row-{row.line}"
    kind = cells["type"]
    try:
        language = language_group(cells["language"], type=kind, id=identity)
    except ValueError:
        return invalid("language", f"{_short(cells['language'])} is not a language code")
    detected = not cells["language"].strip()
    if detected:
        language = language_group(detect_languages([model_text(text)])[0], type=kind, id=identity)
    post = Post(identity, text, language, kind, cells["origin"], split_name(cells["split"]), cells["group"])
    return ReadPost(post, row, label, detected)


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


def _short(value: str) -> str:
    return repr(value if len(value) <= 20 else value[:20] + "...")


def _description(error: RowError) -> str:
    return f'column "{error.column}": {error.reason}' if error.column else error.reason


def _advice(row_errors: list[RowError]) -> str:
    reasons = Counter(error.reason.split(" (")[0] for error in row_errors)
    if not reasons:
        return ""
    reason = reasons.most_common(1)[0][0]
    if reason == "not UTF-8":
        return "if the file is in another encoding, say which: --encoding cp1252"
    if reason == NO_LABEL:
        return "label these rows 0 or 1, or leave them out"
    if reason.endswith("is not 0 or 1"):
        return "map it with data.labels, e.g. --set data.labels.yes=1"
    if reason.endswith("is not a language code"):
        return "use codes such as en, de, ja; leave the cell empty to have it detected"
    return ""
