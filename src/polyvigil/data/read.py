"""Rows to posts: the schema of the shared task, checked row by row. Bad rows are kept apart with their reason."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import ColumnMap, column_list, map_columns
from polyvigil.data.formats import Row, RowError, Table, open_source
from polyvigil.data.kept_rows import KeptRows, RowStore
from polyvigil.data.labels import LabelMap, LabelValue, is_missing, label_map
from polyvigil.data.languages import HEAD_ROWS, FileLanguages, LanguageSpellings
from polyvigil.data.no_text import no_text_error
from polyvigil.data.packed_posts import PackedLabelledPosts, PackedPosts, PostColumns
from polyvigil.data.packed_strings import StringColumn, pack
from polyvigil.data.protection import is_output
from polyvigil.data.read_block import ReadBlock, read_block
from polyvigil.data.read_row import (
    MAX_CHARACTERS,
    TOO_LONG,
    ReadPost,
    cell_text,
    head_of,
    languages_of,
    read_rows,
    split_name,
)
from polyvigil.data.selection import Selection, selection_of
from polyvigil.data.shown import shown_column, shown_value
from polyvigil.data.table import PieceBuffer, pieces_of, rows_in
from polyvigil.errors import DataError
from polyvigil.progress import report_share
from polyvigil.types import Frozen, LabelledPost, Post

__all__ = [
    "MAX_CHARACTERS",
    "NO_LABEL",
    "SPLIT_ROLES",
    "OnError",
    "ReadPost",
    "Reading",
    "RowErrorCounts",
    "RowErrorKind",
    "Unlabelled",
    "cell_text",
    "head_of",
    "languages_of",
    "numeric_label",
    "read_labelled",
    "read_rows",
    "read_unlabelled",
    "read_with_labels_if_any",
    "reject_line",
    "row_error",
    "split_name",
]
OnError = Literal["quarantine", "fail"]
_NOT_A_LABEL = " is not 0 or 1"
NO_LABEL = f"''{_NOT_A_LABEL}"
"""The reason of a row whose label is empty."""
_BLOCK_ROWS = 2000
_NUMERIC_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
_MARKS_SEEN = 10_000  # rows without a label by which a sheet of marks is known
SPLIT_ROLES = ("train", "dev", "test")
"""The splits that have a use; others are names that mean nothing to this program."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All labelled posts of a file, in its order; the rows set aside; what a user should know."""

    name: str
    posts: Sequence[LabelledPost]
    """Of a file, packed (data.packed_posts): a post is made when it is looked at."""
    rows: Sequence[Row]
    row_errors: tuple[RowError, ...]
    notes: tuple[str, ...] = field(default=())
    label_values: tuple[LabelValue, ...] = field(default=())
    """What stands in the column of labels, the most frequent first."""
    selection: Selection = field(default=Selection(()))
    """How the posts came to be read, in their order."""


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

    ``keep_cells``: whether the rows of posts labelled 0 or 1 hold their cells. Without, a million posts take the bytes
    of their texts and ids in UTF-8 and 45 MB; with, the other columns too.

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
        decisions = _DecisionCounts(table)
        rows = _all_rows(decisions.table, columns, spec, keep_cells=keep_cells)
    if unlabelled_hint and rows.are_unlabelled:
        n_rows, column = len(rows.posts) + len(rows.errors), shown_column(columns.columns["label"])
        raise DataError(
            f"none of {n_rows:,} rows has a label ({column}), so nothing can be measured",
            where=rows.table.name,
            hint=f"label them 0 or 1, or {unlabelled_hint}",
        )
    return rows.with_labels(split=split, on_error=on_error, all_flagged=decisions.all_flagged)


def read_with_labels_if_any(
    source: str | Path | Table, spec: DataSpec | None = None, *, split: str = "", keep_cells: bool = True
) -> Reading | Unlabelled:
    """Read a file as ``read_labelled`` does; one without a column of labels, or with an empty one, for its posts."""
    spec, split = spec or DataSpec(), split_name(split)
    with open_source(source, spec) as table:
        columns = _columns(table, spec, split=split, required=("text",))
        rows = _all_rows(table, columns, spec, keep_cells=keep_cells)
    if rows.are_unlabelled:
        return rows.without_labels(split=split)
    return rows.with_labels(split=split, on_error=None)


def _columns(table: Table, spec: DataSpec, *, split: str, required: Sequence[str]) -> ColumnMap:
    """The columns of a table. Raises DataError where a part that is needed has none."""
    columns = map_columns(table.columns, spec, required=required, where=table.name, derived=table.derived)
    if split and columns.get("split") is None:
        raise DataError(f"no column for split, so split {split!r} cannot be picked", where=table.name)
    return columns


class _DecisionCounts:
    """Counts, while the rows of an output of ``polyvigil score`` go by, how many are flagged."""

    def __init__(self, table: Table) -> None:
        self._rows = self._flagged = 0
        self.table = replace(table, rows=self._counted(table.rows)) if is_output(table.columns) else table

    def _counted(self, rows: Iterator[Row | RowError]) -> Iterator[Row | RowError]:
        for row in rows:
            self._rows += 1
            self._flagged += cell_text(row.cells.get("decision")).strip() in ("1", "1.0")
            yield row

    @property
    def all_flagged(self) -> bool:
        """Whether every row was flagged, of two at least."""
        return self._rows > 1 and self._flagged == self._rows


def _all_rows(table: Table, columns: ColumnMap, spec: DataSpec, *, keep_cells: bool) -> _AllRows:
    """Read a table of labelled posts to its end."""
    rows = _AllRows(table, columns, spec, keep_cells=keep_cells)
    for part in _parts(table, columns, spec, labelled=True):
        if isinstance(part, ReadBlock):
            rows.add_block(part)
        else:
            rows.add(list(part))
    return rows


def _parts(
    table: Table, columns: ColumnMap, spec: DataSpec, *, labelled: bool
) -> Iterator[ReadBlock | Iterator[ReadPost | RowError]]:
    """The rows of a table, some at a time: as a block where that can be, else one by one."""
    buffer = PieceBuffer(pieces_of(table.rows))
    head = buffer.take(HEAD_ROWS)
    buffer.return_first(head)
    languages = FileLanguages(lambda: head_of(rows_in(head), columns), default=spec.language)
    while pieces := buffer.take(_BLOCK_ROWS):
        if table.fraction:
            report_share(f"reading {Path(table.name).name}", table.fraction())
        if block := read_block(pieces, columns, languages, labelled=labelled):
            yield block
            continue
        some = replace(table, rows=rows_in(pieces))
        yield read_rows(some, columns, spec, labelled=labelled, languages=languages)


@dataclass(slots=True)
class _AllRows:
    """All rows of a table that was read to its end, their labels as they were written; (n_posts,) each."""

    table: Table
    columns: ColumnMap
    spec: DataSpec
    keep_cells: bool
    posts: PostColumns = field(default_factory=PostColumns)
    labels_given: StringColumn = field(default_factory=StringColumn)
    languages_given: StringColumn = field(default_factory=StringColumn)
    purposes: StringColumn = field(default_factory=StringColumn)
    inclusion_ps: StringColumn = field(default_factory=StringColumn)
    detected: bytearray = field(default_factory=bytearray)
    rows: RowStore = field(default_factory=RowStore)
    errors: list[tuple[int, RowError]] = field(default_factory=list)
    """And how many posts stand before each."""

    def add(self, items: Sequence[ReadPost | RowError]) -> None:
        """Add the next rows."""
        before = len(self.posts)
        read: list[ReadPost] = []
        for item in items:
            if isinstance(item, RowError):
                self.errors.append((before + len(read), item))
            else:
                read.append(item)
        if not read:
            return
        texts = pack([item.post.text for item in read])
        if self.keep_cells:
            self.rows.keep([item.row for item in read], {self.columns.columns["text"]: texts})
        else:
            odd = (index for index, item in enumerate(read) if item.label_given not in _NUMERIC_LABELS)
            self.rows.single.update((before + index, read[index].row) for index in odd)
        self.posts.add_chunk([item.post for item in read], texts=texts)
        self.rows.lines.extend(item.row.line for item in read)
        self.labels_given.add_chunk(pack([item.label_given for item in read]))
        self.languages_given.add_chunk(pack([item.language_given for item in read]))
        self.purposes.add_chunk(pack([item.purpose for item in read]))
        self.inclusion_ps.add_chunk(pack([item.inclusion_p for item in read]))
        self.detected += bytes(item.language_detected for item in read)

    def add_block(self, block: ReadBlock) -> None:
        """Add the next rows, all of them posts."""
        before = len(self.posts)
        odd = [index for index, given in enumerate(block.labels_given) if given not in _NUMERIC_LABELS]
        texts = pack(block.texts)
        if self.keep_cells:
            self.rows.keep_block(block.rows, {self.columns.columns["text"]: texts})
        elif odd:
            rows = list(block.rows.rows())
            self.rows.single.update((before + index, rows[index]) for index in odd)
        self.posts.add_chunk(block.posts, texts=texts)
        self.rows.lines.extend(block.rows.lines)
        self.labels_given.add_chunk(pack(block.labels_given))
        self.languages_given.add_chunk(pack(block.row_languages))
        self.purposes.add_chunk(pack(block.purposes))
        self.inclusion_ps.add_chunk(pack(block.inclusion_ps))
        self.detected += bytes(block.language_detected)

    @property
    def are_unlabelled(self) -> bool:
        """Whether no post among them has a label, or the table no column of labels."""
        if self.columns.get("label") is None:
            return True
        return bool(self.labels_given) and all(map(is_missing, {*self.labels_given}))

    def with_labels(self, *, split: str, on_error: OnError | None, all_flagged: bool = False) -> Reading:
        """The labelled posts among them. Raises DataError as ``read_labelled``."""
        name, column = self.table.name, self.columns.columns["label"]
        labels = label_map(Counter(self.labels_given), self.spec.labels, trained=self.spec.trained_labels)
        if labels.positives_alone and not self.spec.labels:
            unmarked = (self.rows.row(index) for index, given in enumerate(self.labels_given) if not given)
            cells = ({key: cell_text(cell) for key, cell in row.cells.items()} for row in islice(unmarked, _MARKS_SEEN))
            labels = labels.with_marks(cells, column)
        if on_error != "quarantine":
            labels.check(name, column)
        row_errors = self._row_errors(labels, column)
        if row_errors and on_error == "fail":
            raise row_error(row_errors[0], name)
        known = labels.labels
        good = self._chosen(row_errors, split=split, labels=known)
        given = self.labels_given
        values = np.fromiter((known.get(label, -1) for label in given), dtype=np.int8, count=len(given))
        return Reading(
            name,
            PackedLabelledPosts(PackedPosts(self.posts, good), values[good] if isinstance(good, array) else values),
            KeptRows(self.rows, good),
            tuple(row_errors),
            self._notes(good, row_errors, labels.messages(name, column)),
            labels.values,
            selection_of(
                [self.purposes[index] for index in good],
                [self.inclusion_ps[index] for index in good],
                all_flagged=all_flagged,
            ),
        )

    def without_labels(self, *, split: str) -> Unlabelled:
        """The posts among them. Raises DataError where there is none."""
        name, row_errors = self.table.name, [error for _, error in self.errors]
        good = self._chosen(row_errors, split=split)
        column = self.columns.get("label")
        if column:
            reason = f"{shown_column(column)} is empty"
        else:
            reason = f"it has {column_list(self.table.columns)}; if one of them holds labels: --column label=NAME"
        return Unlabelled(
            name,
            PackedPosts(self.posts, good),
            tuple(row_errors),
            self._notes(good, row_errors, [f"{name}: has no labels, and is read without them ({reason})"]),
            array("q", (self.rows.lines[index] for index in good)),
        )

    def _row_errors(self, labels: LabelMap, column: str) -> list[RowError]:
        """Rows that are no posts, and posts without a label, in the order of the file."""
        errors = [(index, 0, error) for index, error in self.errors]
        for index, given in enumerate(self.labels_given):
            if given not in labels.labels:
                reason = shown_value(given) + _NOT_A_LABEL
                errors.append((index, 1, RowError(self.rows.lines[index], column, reason, self.rows.row(index).cells)))
        return [error for _, _, error in sorted(errors, key=lambda item: item[:2])]

    def _chosen(
        self, row_errors: Sequence[RowError], *, split: str, labels: Mapping[str, int] | None = None
    ) -> array[int] | range:
        """The posts of a split, by their index; those with one of ``labels``. Raises DataError where there is none."""
        rows = zip(self.posts.column("split"), self.labels_given, strict=True)
        good = array(
            "q",
            (
                index
                for index, (of_split, given) in enumerate(rows)
                if (labels is None or given in labels) and (not split or of_split == split)
            ),
        )
        if good:
            return range(len(self.posts)) if len(good) == len(self.posts) else good
        text = self.columns.columns["text"]
        if row_errors and all(error.column == text for error in row_errors):
            cells = (error.cells for error in row_errors)
            raise no_text_error(cells, column=text, posts=len(row_errors), where=self.table.name)
        what = f" of split {split!r}" if split else ""
        raise DataError(
            f"no usable row{what}; {len(row_errors):,} rows set aside"
            + (f", the first: {_description(row_errors[0])}" if row_errors else ""),
            where=self.table.name,
            hint=_advice(list(row_errors)) or "check the file",
        )

    def _notes(self, good: Sequence[int], row_errors: Sequence[RowError], of_labels: Sequence[str]) -> tuple[str, ...]:
        """What a user should know: what was guessed, which rows were set aside, what labels and languages mean."""
        name = self.table.name
        error_counts, spellings = RowErrorCounts(), LanguageSpellings()
        for error in row_errors:
            error_counts.add(error)
        for given, rows in Counter(self.languages_given[index] for index in good).items():
            spellings.add(given, rows=rows)
        guesses = (f"{name}: {guess}" for guess in self.columns.guesses)
        notes = [*self.table.notes, *guesses, *error_counts.messages(name), *self.table.late_notes(), *of_labels]
        notes += spellings.messages(name, default=self.spec.language)
        if detected := sum(self.detected[index] for index in good):
            notes.append(f"{name}: language detected for {detected:,} posts without one")
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """All posts of a file, in its order, labels not looked at; the rows set aside; what a user should know."""

    name: str
    posts: Sequence[Post]
    """Of a file, packed (data.packed_posts): a post is made when it is looked at."""
    row_errors: tuple[RowError, ...]
    notes: tuple[str, ...]
    lines: Sequence[int] = ()
    """The line that each post starts on."""


def read_unlabelled(
    source: str | Path | Table, spec: DataSpec | None = None, *, on_error: OnError = "quarantine"
) -> Unlabelled:
    """Read a file, or an open table, of posts for their texts and languages.

    Raises DataError at the first bad row with ``fail``.
    """
    spec = spec or DataSpec()
    posts = PostColumns()
    lines = array("q")
    row_errors: list[RowError] = []
    error_counts, spellings = RowErrorCounts(), LanguageSpellings()
    with open_source(source, spec) as table:
        columns = map_columns(table.columns, spec, required=("text",), where=table.name, derived=table.derived)
        for part in _parts(table, columns, spec, labelled=False):
            if isinstance(part, ReadBlock):
                posts.add_chunk(part.posts)
                lines.extend(part.rows.lines)
                for given, rows in part.languages_given.items():
                    spellings.add(given, rows=rows)
                continue
            for item in part:
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
    return Unlabelled(table.name, PackedPosts(posts), tuple(row_errors), notes, lines)


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


def numeric_label(cell: Any) -> int | None:
    """The label that a cell holds: 0 or 1, also as 0.0, 1.0 or a boolean; None where it holds none."""
    return _NUMERIC_LABELS.get(cell_text(cell).strip())


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
    if reason == TOO_LONG or reason.startswith(("a cell of over", "a line of over")):
        return "cut it into posts, or leave the row out; if a quote opens it by mistake: --quoting none"
    if reason.endswith("is not a language"):
        return "use codes such as en, de, ja, or names; leave the cell empty to have it detected"
    return ""
