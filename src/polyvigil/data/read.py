"""Rows to posts: the schema of the shared task, checked row by row. Bad rows are kept apart with their reason."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import regex

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import ROLES, ColumnMap, column_list, map_columns
from polyvigil.data.formats import Row, RowError, Table, open_source, undecoded_reason
from polyvigil.data.labels import LabelMap, LabelValue, is_missing, label_map
from polyvigil.data.languages import FileLanguages, HeadRow, LanguageSpellings, first_rows
from polyvigil.data.no_text import no_text_error
from polyvigil.data.shown import shown_column, shown_value
from polyvigil.errors import DataError
from polyvigil.text.normalise import placeholder_reason
from polyvigil.types import Frozen, LabelledPost, Post

OnError = Literal["quarantine", "fail"]
_NOT_A_LABEL = " is not 0 or 1"
NO_LABEL = f"''{_NOT_A_LABEL}"
"""The reason of a row whose label is empty."""
MAX_CHARACTERS = 1_000_000
"""Of a text, an id or another part of a post: what is longer is no post, and would take much memory to score."""
_TOO_LONG = "too many characters for a post"
_NO_CELLS: Mapping[str, Any] = MappingProxyType({})
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
_MARKS_SEEN = 10_000  # rows without a label by which a sheet of marks is known
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
    language_given: str = ""
    """The language as the row writes it."""
    label_given: str = ""
    """The label as the row writes it, where the file is read for labels."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All labelled posts of a file, in its order; the rows set aside; what a user should know."""

    name: str
    posts: tuple[LabelledPost, ...]
    rows: tuple[Row, ...]
    row_errors: tuple[RowError, ...]
    notes: tuple[str, ...] = field(default=())
    label_values: tuple[LabelValue, ...] = field(default=())
    """What stands in the column of labels, the most frequent first."""


def read_labelled(
    source: str | Path | Table,
    spec: DataSpec | None = None,
    *,
    split: str = "",
    on_error: OnError | None = None,
    unlabelled_hint: str = "",
    keep_cells: bool = True,
) -> Reading:
    """Read a file, or an open table, of labelled posts. ``split`` keeps the rows of that split only.

    ``keep_cells``: whether the rows of posts labelled 0 or 1 hold their cells; a million posts take 0.6 GB without.

    ``unlabelled_hint``: of a command that measures, what to do with a file without labels; such a file's error then
    says that nothing can be measured. ``on_error``: what to do with a bad row; None sets it aside. Where labels that
    are neither 0 nor 1 leave out a share of the file, only "quarantine" goes on: that is a wrong map and no bad row.

    Raises DataError when nothing usable remains, for such labels, and at the first bad row with ``on_error="fail"``.
    """
    spec, split = spec or DataSpec(), split_name(split)
    with open_source(source, spec) as table:
        columns = _columns(table, spec, split=split, required=("text",) if unlabelled_hint else ("text", "label"))
        if columns.get("label") is None:
            raise DataError(
                "no label column, so nothing can be measured",
                where=table.name,
                hint=f"it has {column_list(table.columns)}: name it with --column label=NAME, or {unlabelled_hint}",
            )
        items = read_rows(table, columns, spec, labelled=True)
        rows = _AllRows(table, columns, list(items if keep_cells else map(_without_cells, items)), spec)
    if unlabelled_hint and rows.are_unlabelled:
        raise DataError(
            f"none of {len(rows.items):,} rows has a label ({shown_column(columns.columns['label'])}), so nothing can "
            "be measured",
            where=rows.table.name,
            hint=f"label them 0 or 1, or {unlabelled_hint}",
        )
    return rows.with_labels(split=split, on_error=on_error)


def read_with_labels_if_any(
    source: str | Path | Table, spec: DataSpec | None = None, *, split: str = ""
) -> Reading | Unlabelled:
    """Read a file as ``read_labelled`` does; one without a column of labels, or with an empty one, for its posts."""
    spec, split = spec or DataSpec(), split_name(split)
    with open_source(source, spec) as table:
        columns = _columns(table, spec, split=split, required=("text",))
        rows = _AllRows(table, columns, list(read_rows(table, columns, spec, labelled=True)), spec)
    if rows.are_unlabelled:
        return rows.without_labels(split=split)
    return rows.with_labels(split=split, on_error=None)


def _columns(table: Table, spec: DataSpec, *, split: str, required: Sequence[str]) -> ColumnMap:
    """The columns of a table. Raises DataError where a part that is needed has none."""
    columns = map_columns(table.columns, spec, required=required, where=table.name, derived=table.derived)
    if split and columns.get("split") is None:
        raise DataError(f"no column for split, so split {split!r} cannot be picked", where=table.name)
    return columns


@dataclass(frozen=True, slots=True)
class _AllRows:
    """All rows of a table that was read to its end, their labels as they were written."""

    table: Table
    columns: ColumnMap
    items: Sequence[ReadPost | RowError]
    spec: DataSpec

    @property
    def are_unlabelled(self) -> bool:
        """Whether no post among them has a label, or the table no column of labels."""
        if self.columns.get("label") is None:
            return True
        given = [item.label_given for item in self.items if isinstance(item, ReadPost)]
        return bool(given) and all(map(is_missing, given))

    def with_labels(self, *, split: str, on_error: OnError | None) -> Reading:
        """The labelled posts among them. Raises DataError as ``read_labelled``."""
        name, column = self.table.name, self.columns.columns["label"]
        given = Counter(item.label_given for item in self.items if isinstance(item, ReadPost))
        labels = label_map(given, self.spec.labels, trained=self.spec.trained_labels)
        if labels.positives_alone and not self.spec.labels:
            unmarked = (item.row for item in self.items if isinstance(item, ReadPost) and not item.label_given)
            cells = ({key: cell_text(cell) for key, cell in row.cells.items()} for row in islice(unmarked, _MARKS_SEEN))
            labels = labels.with_marks(cells, column)
        if on_error != "quarantine":
            labels.check(name, column)
        items = [_labelled(item, labels, column) for item in self.items]
        row_errors = [item for item in items if isinstance(item, RowError)]
        if row_errors and on_error == "fail":
            raise row_error(row_errors[0], name)
        good = self._chosen(items, split=split)
        return Reading(
            name,
            tuple(LabelledPost(item.post, item.label) for item in good if item.label is not None),
            tuple(item.row for item in good),
            tuple(row_errors),
            self._notes(good, row_errors, labels.messages(name, column)),
            labels.values,
        )

    def without_labels(self, *, split: str) -> Unlabelled:
        """The posts among them. Raises DataError where there is none."""
        good = self._chosen(self.items, split=split)
        name, row_errors = self.table.name, [item for item in self.items if isinstance(item, RowError)]
        column = self.columns.get("label")
        if column:
            reason = f"{shown_column(column)} is empty"
        else:
            reason = f"it has {column_list(self.table.columns)}; if one of them holds labels: --column label=NAME"
        return Unlabelled(
            name,
            tuple(item.post for item in good),
            tuple(row_errors),
            self._notes(good, row_errors, [f"{name}: has no labels, and is read without them ({reason})"]),
            tuple(item.row.line for item in good),
        )

    def _chosen(self, items: Sequence[ReadPost | RowError], *, split: str) -> list[ReadPost]:
        """The posts of a split. Raises DataError where there is none."""
        good = [item for item in items if isinstance(item, ReadPost) and (not split or item.post.split == split)]
        row_errors = [item for item in items if isinstance(item, RowError)]
        if good:
            return good
        text = self.columns.columns["text"]
        if row_errors and all(error.column == text for error in row_errors):
            cells = (error.cells for error in row_errors)
            raise no_text_error(cells, column=text, posts=len(row_errors), where=self.table.name)
        what = f" of split {split!r}" if split else ""
        raise DataError(
            f"no usable row{what}; {len(row_errors):,} rows set aside"
            + (f", the first: {_description(row_errors[0])}" if row_errors else ""),
            where=self.table.name,
            hint=_advice(row_errors) or "check the file",
        )

    def _notes(
        self, good: Sequence[ReadPost], row_errors: Sequence[RowError], of_labels: Sequence[str]
    ) -> tuple[str, ...]:
        """What a user should know: what was guessed, which rows were set aside, what labels and languages mean."""
        name = self.table.name
        error_counts, spellings = RowErrorCounts(), LanguageSpellings()
        for error in row_errors:
            error_counts.add(error)
        for item in good:
            spellings.add(item.language_given)
        guesses = (f"{name}: {guess}" for guess in self.columns.guesses)
        notes = [*self.table.notes, *guesses, *error_counts.messages(name), *self.table.late_notes(), *of_labels]
        notes += spellings.messages(name, default=self.spec.language)
        if detected := sum(item.language_detected for item in good):
            notes.append(f"{name}: language detected for {detected:,} posts without one")
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """All posts of a file, in its order, labels not looked at; the rows set aside; what a user should know."""

    name: str
    posts: tuple[Post, ...]
    row_errors: tuple[RowError, ...]
    notes: tuple[str, ...]
    lines: tuple[int, ...] = ()
    """The line that each post starts on."""


def read_unlabelled(
    source: str | Path | Table, spec: DataSpec | None = None, *, on_error: OnError = "quarantine"
) -> Unlabelled:
    """Read a file, or an open table, of posts for their texts and languages.

    Raises DataError at the first bad row with ``fail``.
    """
    spec = spec or DataSpec()
    posts: list[Post] = []
    lines: list[int] = []
    row_errors: list[RowError] = []
    error_counts, spellings = RowErrorCounts(), LanguageSpellings()
    with open_source(source, spec) as table:
        columns = map_columns(table.columns, spec, required=("text",), where=table.name, derived=table.derived)
        for item in read_rows(table, columns, spec, labelled=False):
            if isinstance(item, ReadPost):
                posts.append(item.post)
                lines.append(item.row.line)
                spellings.add(item.language_given)
                continue
            if on_error == "fail":
                raise row_error(item, table.name)
            row_errors.append(item)
            error_counts.add(item)
    notes = (
        *table.notes,
        *(f"{table.name}: {guess}" for guess in columns.guesses),
        *error_counts.messages(table.name),
        *table.late_notes(),
        *spellings.messages(table.name, default=spec.language),
    )
    return Unlabelled(table.name, tuple(posts), tuple(row_errors), notes, tuple(lines))


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


def _without_cells(item: ReadPost | RowError) -> ReadPost | RowError:
    """A post without its row's cells, and with what it shares with many others shared; a row error as it is.

    A post whose label may turn out to mean nothing keeps its cells: such a row is set aside with all it holds.
    """
    if isinstance(item, RowError) or item.label_given not in _NUMERIC_LABELS:
        return item
    post = item.post
    shared = {name: sys.intern(getattr(post, name)) for name in ("language", "type", "origin", "split")}
    return replace(
        item,
        post=replace(post, **shared),
        row=Row(item.row.line, _NO_CELLS, _NO_CELLS),
        language_given=sys.intern(item.language_given),
        label_given=sys.intern(item.label_given),
    )


def _labelled(item: ReadPost | RowError, labels: LabelMap, column: str) -> ReadPost | RowError:
    """The post with its label, or the error of a row that has none."""
    if isinstance(item, RowError):
        return item
    label = labels.labels.get(item.label_given)
    if label is not None:
        return replace(item, label=label)
    return RowError(item.row.line, column, shown_value(item.label_given) + _NOT_A_LABEL, item.row.cells)


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


def _read_row(row: Row, columns: ColumnMap, languages: FileLanguages, *, labelled: bool) -> ReadPost | RowError:
    cells = dict.fromkeys(ROLES, "") | {role: cell_text(row.cell(name)) for role, name in columns.columns.items()}

    def invalid(role: str, reason: str) -> RowError:
        return RowError(row.line, columns.get(role) or role, reason, row.cells)

    for role, name in columns.columns.items():
        if len(cells[role]) > MAX_CHARACTERS:
            return invalid(role, f"{_TOO_LONG} ({len(cells[role]):,}; the most are {MAX_CHARACTERS:,})")
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
    return ReadPost(post, row, language_detected=language.detected, language_given=given, label_given=label)


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


def _description(error: RowError) -> str:
    return f"{shown_column(error.column)}: {error.reason}" if error.column else error.reason


def _advice(row_errors: list[RowError]) -> str:
    reasons = Counter(error.reason.split(" (")[0] for error in row_errors)
    if not reasons:
        return ""
    reason = reasons.most_common(1)[0][0]
    if reason == "not UTF-8":
        return "if the file is in another encoding, say which: --encoding cp1252"
    if reason.endswith(_NOT_A_LABEL) and is_missing(reason.removesuffix(_NOT_A_LABEL).strip("'")):
        return "label these rows 0 or 1, or leave them out; if empty cells mean no ADE: --set 'data.labels.\"\"=0'"
    if reason.endswith(_NOT_A_LABEL):
        return "map it with data.labels, e.g. --set data.labels.yes=1"
    if reason == _TOO_LONG or reason.startswith(("a cell of over", "a line of over")):
        return "cut it into posts, or leave the row out; if a quote opens it by mistake: --quoting none"
    if reason.endswith("is not a language"):
        return "use codes such as en, de, ja, or names; leave the cell empty to have it detected"
    return ""
