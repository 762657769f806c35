"""Score posts in memory: an open table -> a table of decisions, with the columns that scoring a file gives."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.columns import ColumnMap, map_columns
from polyvigil.data.formats import RowError, Table, open_source
from polyvigil.data.frames import Posts, column_array, extended, frame_of, source_of, with_cells
from polyvigil.data.read import OnError, ReadPost, RowErrorCounts, read_rows, row_error
from polyvigil.errors import DataWarning
from polyvigil.scoring.columns import our_columns, output_columns, reserved_columns, unused_name
from polyvigil.scoring.evidence import evidence_cells
from polyvigil.scoring.facts import rebased_decisions
from polyvigil.scoring.remote import RemoteBundle, decide_posts, facts_of
from polyvigil.scoring.stream import chunked
from polyvigil.scoring.wire import ARROW_TYPES, as_cells, flags_text


@dataclass(frozen=True, slots=True)
class ScoredTable:
    """Decisions on the rows of a table that could be read, in their order."""

    decisions: pa.Table
    """A row for each post; the columns that ``polyvigil score`` adds (scoring.wire.Decision), typed."""
    posts: tuple[ReadPost, ...]
    """The posts with the rows they came from."""
    kept: tuple[int, ...]
    """Which rows of the table these are, from 0."""
    names: dict[str, str]
    """What the columns of the table are called in the output of ``polyvigil score``."""
    row_errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class OpenPosts:
    """Posts that are about to be scored."""

    table: Table
    columns: ColumnMap
    spec: DataSpec
    on_error: OnError
    input_columns: tuple[str, ...]
    """Those of the posts themselves, without that of the languages that were given beside them."""

    def read(self) -> Iterator[list[ReadPost | RowError]]:
        """The rows in the chunks that a file is scored in. Raises DataError at a bad row with ``on_error="fail"``."""
        for chunk in chunked(read_rows(self.table, self.columns, self.spec, labelled=False)):
            bad = next((item for item in chunk if isinstance(item, RowError)), None)
            if bad and self.on_error == "fail":
                raise row_error(bad, self.table.name)
            yield chunk

    def chunks(self) -> Iterator[list[ReadPost]]:
        """The posts alone, in the same chunks; a DataWarning tells of rows that were set aside."""
        row_errors: list[RowError] = []
        for chunk in self.read():
            row_errors += [item for item in chunk if isinstance(item, RowError)]
            yield [item for item in chunk if isinstance(item, ReadPost)]
        warn_of(self.table.name, row_errors)


@contextmanager
def open_posts(
    posts: Posts,
    *,
    languages: Iterable[object] | None,
    spec: DataSpec | None = None,
    on_error: OnError = "fail",
) -> Iterator[OpenPosts]:
    """Open posts in memory or in a file. ``languages``: one a post, in place of the column that holds them."""
    spec = spec or DataSpec()
    with open_source(source_of(posts, name="posts"), spec) as opened:
        columns = map_columns(opened.columns, spec, required=("text",), where=opened.name, derived=opened.derived)
        if languages is None:
            yield OpenPosts(opened, columns, spec, on_error, opened.columns)
            return
        given = unused_name("language", opened.columns)
        table = with_cells(opened, {given: languages})
        columns = ColumnMap({**columns.columns, "language": given}, columns.guesses)
        yield OpenPosts(table, columns, spec, on_error, opened.columns)


def score_table(
    bundle: Bundle | RemoteBundle,
    posts: Posts,
    *,
    languages: Iterable[object] | None,
    spec: DataSpec,
    on_error: OnError,
    evidence: bool = False,
    prevalence: Mapping[str, float] | None = None,
) -> Any:
    """Decide on posts: a table of the library that they are of (api.score says how its columns are named).

    A DataWarning for rows that were set aside points at the caller's caller.
    """
    frame = frame_of(posts, name="posts")
    with open_posts(posts if frame is None else frame, languages=languages, spec=spec, on_error=on_error) as read:
        scored = score_rows(bundle, read, evidence=evidence, prevalence=prevalence or {})
        schema = read.table.schema
    warn_of(read.table.name, scored.row_errors, stacklevel=4)
    if frame is not None:
        return extended(frame, scored.kept, scored.names, scored.decisions)
    inputs = {
        name: column_array(
            [item.row.cells.get(column) for item in scored.posts], schema.field(column).type if schema else None
        )
        for column, name in scored.names.items()
    }
    decisions = {name: scored.decisions.column(name) for name in scored.decisions.column_names}
    return pa.table({**inputs, **decisions})


def warn_of(name: str, row_errors: Sequence[RowError], *, stacklevel: int = 3) -> None:
    """A DataWarning of the rows that were set aside, if any: how many, where the first are, what to do."""
    if not row_errors:
        return
    counts = RowErrorCounts()
    for error in row_errors:
        counts.add(error)
    message = f"{counts.total:,} rows set aside: {'; '.join(counts.messages(name))}"
    warnings.warn(message, DataWarning, stacklevel=stacklevel)


def score_rows(
    bundle: Bundle | RemoteBundle,
    opened: OpenPosts,
    *,
    evidence: bool,
    prevalence: Mapping[str, float] = MappingProxyType({}),
) -> ScoredTable:
    """Score every row of an open table, as ``score_file`` scores a file: same chunks, same decisions."""
    facts, spec = facts_of(bundle), ScoreSpec(evidence=evidence, prevalence=dict(prevalence))
    facts.at(prevalence)
    added = our_columns(spec, facts)
    cells: list[dict[str, object]] = []
    posts: list[ReadPost] = []
    kept: list[int] = []
    row_errors: list[RowError] = []
    index = 0
    for chunk in opened.read():
        good = [item for item in chunk if isinstance(item, ReadPost)]
        decisions = decide_posts(
            bundle, [item.post for item in good], detected=[item.language_detected for item in good]
        )
        decisions = rebased_decisions(decisions, facts, prevalence)
        rows = [as_cells(decision, facts.columns) for decision in decisions]
        if evidence and isinstance(bundle, Bundle):
            more = evidence_cells(bundle, [item.post for item in good], decisions)
            rows = [row | further for row, further in zip(rows, more, strict=True)]
        cells += rows
        posts += good
        kept += [index + number for number, item in enumerate(chunk) if isinstance(item, ReadPost)]
        row_errors += [item for item in chunk if isinstance(item, RowError)]
        index += len(chunk)
    return ScoredTable(
        pa.table({name: _column(cells, name) for name in added}),
        tuple(posts),
        tuple(kept),
        dict(output_columns(opened.input_columns, reserved_columns(spec))),
        tuple(row_errors),
    )


def _column(cells: Sequence[dict[str, Any]], name: str) -> pa.Array:
    values = (flags_text(row[name]) if name == "flags" else row[name] for row in cells)
    return pa.array(list(values), type=ARROW_TYPES.get(name, pa.string()))
