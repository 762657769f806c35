"""Scored posts -> counts by week, language and source: all that a monitor keeps of them; no text, no id.

In: an output of ``polyvigil score``, gone through row by row. Out: one ``CellCounts`` for each (week, language, source)
of it. A file counts as a whole or not at all: the first row that cannot be counted raises DataError with file and line.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import ColumnMap, column_list, map_columns
from polyvigil.data.formats import RowError, Table, open_table
from polyvigil.data.read import cell_text
from polyvigil.data.shown import is_showable, shown_column, shown_name, shown_value
from polyvigil.data.table import Row
from polyvigil.errors import DataError
from polyvigil.monitor.weeks import DATE_COLUMNS, parse_week, week_of_cell
from polyvigil.review.scored_posts import Progress, calibrated_column, check_scored, group_of, number_in
from polyvigil.scoring.wire import ABSTAINED
from polyvigil.text.script import main_script
from polyvigil.types import Frozen

SCORE_EDGES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Where the bins of calibrated P meet; P at an edge is in the upper bin."""
LENGTH_EDGES = (20, 40, 80, 140, 280, 560, 1120, 2240, 4480)
"""The same of characters."""
ALL = "all"
"""What stands for every language or source; so none is called that."""
MOST_SOURCES = 50
_MOST_LANGUAGES = 200
_NO_TEXT = "no_text:"
_PROGRESS_ROWS = 20_000
_ROUNDED = 1 + 1e-9
Count = Annotated[int, Field(ge=0, le=10**12)]
Sum = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class CellCounts(Frozen):
    """The posts of a week, a language and a source. A post is a row with something to read."""

    week: str = Field(pattern=r"^\d{4}-W\d{2}$")
    language: str
    source: str
    rows: Count
    """Posts, and rows with nothing to read."""
    posts: Count
    flagged: Count
    abstained: Count
    """Posts that the bundle did not judge, since it cannot read their language or script."""
    untrained: Count
    """Posts of a language that the bundle was not trained on."""
    duplicates: Count
    """Posts that read the same as one further up in the file, in that language."""
    p_sum: Sum
    """Of the calibrated P; with ``p_squares`` and ``p_flagged`` (of flagged posts) what label-free estimates need."""
    p_squares: Sum
    p_flagged: Sum
    scores: tuple[Count, ...] = Field(min_length=len(SCORE_EDGES) + 1, max_length=len(SCORE_EDGES) + 1)
    """Posts by calibrated P, between SCORE_EDGES."""
    lengths: tuple[Count, ...] = Field(min_length=len(LENGTH_EDGES) + 1, max_length=len(LENGTH_EDGES) + 1)
    """Posts by number of characters, between LENGTH_EDGES."""
    scripts: dict[str, Count]
    """Posts by writing system (text.script.main_script)."""

    @model_validator(mode="after")
    def _adds_up(self) -> CellCounts:
        parse_week(self.week)
        if not is_name(self.language) or not (is_name(self.source) or self.source == ""):
            raise ValueError("a language or source that is no name")
        whole = {sum(self.scores), sum(self.lengths), sum(self.scripts.values()), self.posts}
        if len(whole) > 1 or self.rows < self.posts:
            raise ValueError("the counts do not add up")
        if max(self.flagged, self.abstained, self.untrained, self.duplicates) > self.posts:
            raise ValueError("more posts of a kind than posts")
        if (
            not self.p_squares <= self.p_sum * _ROUNDED <= self.posts * _ROUNDED**2
            or self.p_flagged > self.p_sum * _ROUNDED
        ):
            raise ValueError("sums that no probabilities have")
        return self


@dataclass(frozen=True, slots=True)
class CountedFile:
    """A scored file as a monitor takes it."""

    path: str
    sha256: str
    bundle: str
    cells: tuple[CellCounts, ...]
    notes: tuple[str, ...]

    @property
    def posts(self) -> int:
        """With something to read."""
        return sum(cell.posts for cell in self.cells)


@dataclass(frozen=True, slots=True)
class CountOptions:
    """What the caller says of the rows: ``week`` of all of them or the column ``date``; ``source`` where no column says
    it; ``bundle``: the id that all rows must have, empty for that of the first."""

    week: str = ""
    date: str = ""
    source: str = ""
    bundle: str = ""


def count_file(
    path: str,
    spec: DataSpec | None = None,
    *,
    options: CountOptions | None = None,
    progress: Progress = lambda *_: None,
) -> CountedFile:
    """Count a scored file. Raises DataError for a file that is no output of ``polyvigil score``, and for a row without
    a date, of another bundle, or with a value that scoring does not write."""
    spec, options = spec or DataSpec(), options or CountOptions()
    if path == "-":
        raise DataError(
            "a file is known by its hash", where="-", hint="write the scores to a file: score -o scored.csv"
        )
    with open_table(path, spec) as table:
        digest = _sha256(path)
        check_scored(table)
        roles = map_columns(table.columns, spec, required=("text",), where=table.name, derived=table.derived)
        counter = _Counter(table.name, roles, options, *_columns(table, roles, options))
        for index, row in enumerate(table.rows):
            if isinstance(row, RowError):
                raise DataError(row.reason, where=f"{table.name}:{row.line}", hint=_AS_WRITTEN)
            counter.add(row)
            if index % _PROGRESS_ROWS == 0:
                progress(index, 0, table.fraction() if table.fraction else None)
        notes = (*table.notes, *(f"{table.name}: {guess}" for guess in (*roles.guesses, *counter.guesses)))
    if _sha256(path) != digest:
        raise DataError("was changed while it was read", where=path, hint="run the same command again")
    if not counter.cells:
        raise DataError("holds no posts", where=path, hint="check the file")
    return CountedFile(path, digest, counter.bundle, counter.counts(), notes)


def is_name(text: str) -> bool:
    """Whether a text may name a language or a source: short, of few words, and not what stands for all of them."""
    return bool(text) and text != ALL and is_showable(text)


_AS_WRITTEN = "the file is not as polyvigil score wrote it; score the posts again"


def _sha256(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _columns(table: Table, roles: ColumnMap, options: CountOptions) -> tuple[str, str, tuple[str, ...]]:
    """The columns of dates and of sources, empty for none, and what was guessed."""
    source = roles.get("origin") or ("" if options.source else roles.get("type")) or ""
    guesses = () if source or options.source else ("no column of sources, so all posts are of one (--source NAME)",)
    if options.week:
        return "", source, guesses
    if options.date:
        if options.date not in table.columns:
            raise DataError(
                f"there is no column {shown_name(options.date)} (given for the date)",
                where=table.name,
                hint=f"it has {column_list(table.columns)}",
            )
        return options.date, source, guesses
    names = {column.lower(): column for column in reversed(table.columns)}
    date = next((names[name] for name in DATE_COLUMNS if name in names), None)
    if date is None:
        raise DataError(
            f"nothing says of which week the posts are; it has {column_list(table.columns)}",
            where=table.name,
            hint="name the week of all of them, --week 2026-W12, or the column of dates, --date created_at",
        )
    return date, source, (*guesses, f"column {shown_name(date)} is read as the date")


@dataclass(slots=True)
class _Cell:
    """What is gathered of a cell; sums are taken at the end, exactly, so that the order of the rows moves no digit."""

    rows: int = 0
    posts: int = 0
    flagged: int = 0
    abstained: int = 0
    untrained: int = 0
    duplicates: int = 0
    all_p: array[float] = field(default_factory=lambda: array("d"))
    flagged_p: array[float] = field(default_factory=lambda: array("d"))
    lengths: list[int] = field(default_factory=lambda: [0] * (len(LENGTH_EDGES) + 1))
    scripts: Counter[str] = field(default_factory=Counter)

    def counts(self, week: str, language: str, source: str) -> CellCounts:
        scores = [0] * (len(SCORE_EDGES) + 1)
        for p in self.all_p:
            scores[bisect_right(SCORE_EDGES, p)] += 1
        return CellCounts(
            week=week,
            language=language,
            source=source,
            rows=self.rows,
            posts=self.posts,
            flagged=self.flagged,
            abstained=self.abstained,
            untrained=self.untrained,
            duplicates=self.duplicates,
            p_sum=math.fsum(self.all_p),
            p_squares=math.fsum(p * p for p in self.all_p),
            p_flagged=math.fsum(self.flagged_p),
            scores=tuple(scores),
            lengths=tuple(self.lengths),
            scripts=dict(sorted(self.scripts.items())),
        )


@dataclass(slots=True)
class _Counter:
    """Takes rows of one file."""

    name: str
    roles: ColumnMap
    options: CountOptions
    date: str
    source: str
    guesses: tuple[str, ...]
    bundle: str = ""
    cells: dict[tuple[str, str, str], _Cell] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)
    _names: dict[str, set[str]] = field(default_factory=lambda: {"language": set(), "source": set()})

    def add(self, row: Row) -> None:
        """Count a row. Raises DataError that names it."""
        self._check_bundle(row)
        language = self._known_name("language", row, "language", _MOST_LANGUAGES) or "und"
        source = self._known_name("source", row, self.source, MOST_SOURCES) or self.options.source
        cell = self.cells.setdefault((self._week(row), language, source), _Cell())
        cell.rows += 1
        flags = cell_text(row.cells.get("flags")).split(";")
        if any(flag.startswith(_NO_TEXT) for flag in flags):
            return
        p, decision = (number_in(row, column, self.name, most=1.0) for column in (calibrated_column(row), "decision"))
        if decision not in (0.0, 1.0):
            raise self._error(row, "decision", f"{decision:g} is not 0 or 1", _AS_WRITTEN)
        text = cell_text(row.cell(self.roles.columns["text"]))
        group = group_of(text, language)
        cell.posts += 1
        cell.flagged += int(decision)
        cell.abstained += ABSTAINED in flags
        cell.untrained += "language_not_trained" in flags
        cell.duplicates += group in self._seen
        self._seen.add(group)
        cell.all_p.append(p)
        if decision:
            cell.flagged_p.append(p)
        cell.lengths[bisect_right(LENGTH_EDGES, len(text))] += 1
        cell.scripts[_script(text)] += 1

    def counts(self) -> tuple[CellCounts, ...]:
        """All cells, by week, language and source."""
        return tuple(cell.counts(*key) for key, cell in sorted(self.cells.items()))

    def _check_bundle(self, row: Row) -> None:
        bundle = cell_text(row.cells.get("bundle"))
        expected = self.options.bundle or self.bundle
        if not 0 < len(bundle) <= 16 or not (bundle.isascii() and bundle.isalnum()):
            raise self._error(row, "bundle", f"{shown_value(bundle)} is no id of a bundle", _AS_WRITTEN)
        if expected and bundle != expected:
            named = "the bundle named is" if self.options.bundle else "the rows before it are of"
            hint = "a file is of one bundle: score all posts with it, or add the file of each bundle by itself"
            raise self._error(row, "bundle", f"{bundle!r} has scored this row; {named} {expected!r}", hint)
        self.bundle = bundle

    def _known_name(self, kind: str, row: Row, column: str, most: int) -> str:
        """A language or source; refused where it is no name, or where there are so many that they are none."""
        if not column:
            return ""
        name = cell_text(row.cell(column)).strip()
        names = self._names[kind]
        if name in names or not name:
            return name
        if not is_name(name):
            hint = "a source is a feed, as forum; name the column: --column origin=NAME"
            raise self._error(row, column, f"{shown_value(name)} names no {kind}", hint)
        names.add(name)
        if len(names) > most:
            hint = "a source is a feed of many posts, no author or address; name its column: --column origin=NAME"
            raise self._error(row, column, f"has over {most} different values, so it names no {kind}", hint)
        return name

    def _week(self, row: Row) -> str:
        if not self.date:
            return self.options.week
        cell = row.cell(self.date)
        try:
            return week_of_cell("" if cell is None else cell)
        except (ValueError, OverflowError, OSError):
            hint = "dates are written as 2026-03-18, with or without a time; or name the week of all posts: --week"
            raise self._error(row, self.date, f"{shown_value(cell_text(cell))} is no date", hint) from None

    def _error(self, row: Row, column: str, reason: str, hint: str) -> DataError:
        return DataError(f"{shown_column(column)}: {reason}", where=f"{self.name}:{row.line}", hint=hint)


def _script(text: str) -> str:
    if text.isascii():  # most posts; the patterns of all scripts cost more than the rest of a row
        return "Latin" if any(map(str.isalpha, text[:2000])) else "none"
    return main_script(text)
