"""Rows of an input -> decisions -> rows of the output, part by part: what every way of scoring files does."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, TypeAlias

from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.data.atomic import whole_file
from polyvigil.data.columns import ColumnMap, map_columns
from polyvigil.data.formats import FilePosition, Row, RowError, Table, open_table
from polyvigil.data.languages import HEAD_ROWS, FileLanguages, HeadRow, LanguageSpellings
from polyvigil.data.no_text import no_text_error
from polyvigil.data.read import (
    ReadPost,
    RowErrorCounts,
    head_of,
    read_rows,
    reject_line,
    row_error,
)
from polyvigil.data.read_block import ReadBlock, read_block
from polyvigil.data.streams import STDIN
from polyvigil.data.table import Piece, PieceBuffer, RowBlock, pieces_of, rows_in
from polyvigil.errors import DataError
from polyvigil.scoring.columns import reserved_columns, schema_of, unused_name
from polyvigil.scoring.counts import RunningCounts
from polyvigil.scoring.dedup import Deduplicated
from polyvigil.scoring.evidence import evidence_cells
from polyvigil.scoring.facts import rebased, rebased_decisions
from polyvigil.scoring.job import (
    Counts,
    InputFacts,
    Job,
    PartRecord,
    ProgressEvent,
    WorkItem,
    part_name,
    total,
)
from polyvigil.scoring.private import OutputText
from polyvigil.scoring.remote import RemoteBundle
from polyvigil.scoring.stream import CHUNK_CHARACTERS, CHUNK_POSTS, Hashed, chunked, prefetch
from polyvigil.scoring.wire import (
    Decision,
    as_cells,
    columns_of_decisions,
    decision_columns,
)
from polyvigil.scoring.work import Work
from polyvigil.scoring.workbook import check_cells
from polyvigil.scoring.write import RowWriter, header, plain_cells, row_writer
from polyvigil.text.memo import MemoCache, memoised

_HEAD = 1000  # rows in which another column of text is looked for
FEWEST_POSTS = 2
"""Posts of a job in which none has a text, from which on that is an error: one empty post is just that."""

ProgressCallback = Callable[[ProgressEvent], object]
Chunk: TypeAlias = ReadBlock | list[ReadPost | RowError]
Opening = Callable[[WorkItem], AbstractContextManager[Table]]


def late_notes(records: Sequence[PartRecord]) -> tuple[str, ...]:
    """What was known of an input once its rows had been read."""
    return tuple(dict.fromkeys(note for record in records for note in record.counts.late_notes))


def columns_of(facts: InputFacts, job: Job) -> ColumnMap:
    """Which column of an input plays which part. Raises DataError where none holds the text."""
    return map_columns(facts.columns, job.data, required=("text",), where=shown(facts), derived=facts.derived)


def shown(facts: InputFacts) -> str:
    """An input's name in messages."""
    return "<stdin>" if facts.path == STDIN else facts.path


def check_unchanged(facts: InputFacts) -> None:
    """Raise DataError where an input is no longer what it was when the job began."""
    if facts.path == STDIN:
        return
    try:
        status = Path(facts.path).stat()
    except FileNotFoundError as error:
        raise DataError("is gone since the job began", where=facts.path, hint="put it back") from error
    if (status.st_size, status.st_mtime_ns) != (facts.bytes, facts.modified_ns):
        raise DataError(
            "was changed since the job began", where=facts.path, hint="score it again when it is no longer written to"
        )


def score_work_item(
    bundle: Bundle | RemoteBundle,
    job: Job,
    work: Work,
    work_item: WorkItem,
    *,
    report: ProgressCallback = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    opening: Opening | None = None,
) -> Iterator[PartRecord]:
    """Score the parts of a span into ``work``, those that are finished there apart, and give their records.

    After ``stop`` no further part is begun. ``opening``: how the input is opened where it cannot be by its path.
    Raises DataError for an input that cannot be read or was changed and, with ``on_error="fail"``, for a bad row.
    """
    facts = job.inputs[work_item.input]
    check_unchanged(facts)
    if not work_item.whole and (record := work.completed(job, work_item.input, work_item.part)):
        report(
            ProgressEvent(
                posts=record.counts.posts, set_aside=record.counts.set_aside, bytes=work_item.bytes, known=True
            )
        )
        yield record
        return
    with (opening or _opening(facts, job))(work_item) as table:
        scorer = PartScorer(
            bundle,
            job,
            work_item.input,
            table,
            report=report if work_item.whole else _without_bytes(report),
            from_start=work_item.whole,
        )
        for part in count(work_item.part):
            if stop():
                return
            record = work.completed(job, work_item.input, part)
            if record:
                scorer.skip(record)
            else:
                record = _scored(scorer, job, work, part, last=None if work_item.whole else work_item.last)
            check_unchanged(facts)
            if not work_item.whole:
                report(ProgressEvent(bytes=work_item.bytes))
            yield record
            if record.last or not work_item.whole:
                return


def _opening(facts: InputFacts, job: Job) -> Opening:
    def opened(work_item: WorkItem) -> AbstractContextManager[Table]:
        at = None if work_item.whole else FilePosition(work_item.offset, work_item.line)
        return open_input(facts, job, at=at)

    return opened


def open_input(facts: InputFacts, job: Job, *, at: FilePosition | None = None) -> AbstractContextManager[Table]:
    """Open an input of a job again, from the first row on or from one of its ``data.offsets``."""
    keys = {key for key, _ in facts.partition}
    file_columns = tuple(column for column in facts.columns if column not in keys)
    return open_table(facts.path, job.data, at=at, columns=file_columns)


def _without_bytes(report: ProgressCallback) -> ProgressCallback:
    return lambda event: report(event.model_copy(update={"bytes": 0}))


def _scored(scorer: PartScorer, job: Job, work: Work, part: int, *, last: bool | None) -> PartRecord:
    name = part_name(scorer.input, part)
    with ExitStack() as stack:
        stream = Hashed(stack.enter_context(whole_file(work.part(name), replace=True)))
        rejects = LateFile(stack, work.rejects(name), replace=True)
        if job.folder:
            stream.write(header(job.columns, ending=job.ending, spec=job.how))
        counts = scorer.score(stream, rejects.add)
    record = PartRecord(
        of=job.part_ids[scorer.input],
        input=scorer.input,
        part=part,
        last=scorer.ended if last is None else last,
        counts=counts,
        bytes=stream.written,
        sha256=stream.hexdigest(),
        rejects=rejects.stream.written if rejects.stream else 0,
        rejects_sha256=rejects.stream.hexdigest() if rejects.stream else "",
    )
    work.keep(record)
    return record


class LateFile:
    """A whole file that is made with the first line of it."""

    def __init__(self, stack: ExitStack, path: Path, *, replace: bool) -> None:
        self._stack = stack
        self._replace = replace
        self._path = path
        self.stream: Hashed | None = None

    def add(self, line: bytes) -> None:
        self.stream = self.stream or Hashed(self._stack.enter_context(whole_file(self._path, replace=self._replace)))
        self.stream.write(line)


class PartScorer:
    """Draws the rows of an open input and scores them, ``part_posts`` at a time."""

    def __init__(
        self,
        bundle: Bundle | RemoteBundle,
        job: Job,
        input: int,
        table: Table,
        *,
        report: ProgressCallback,
        from_start: bool = True,
    ) -> None:
        """``from_start``: whether the table begins with the first row of the input."""
        self.input = input
        self._bundle = bundle
        self._job = job
        self._fields = job.facts.columns
        self._facts = job.inputs[input]
        self._table = table
        self._report = report
        self._columns = columns_of(self._facts, job)
        self._text = OutputText(job.how, self._facts.columns, self._columns, where=shown(self._facts))
        renamed = dict(job.renamed)
        self._names = {column: renamed.get(column, column) for column in self._text.kept(self._facts.columns)}
        self._late_columns: list[str] = []
        self._rows = PieceBuffer(_with_keys(pieces_of(table.rows), dict(self._facts.partition)))
        self._from_start = from_start
        head = self._first_rows() if from_start else None
        self._languages = FileLanguages(lambda: head() if head else self._head(), default=job.data.language)
        self._bytes = 0

    @property
    def ended(self) -> bool:
        """Whether there is no further row."""
        return self._rows.ended

    def skip(self, record: PartRecord) -> None:
        """Go past a part that is done."""
        self._rows.take(self._job.how.part_posts)
        self._report_counts(record.counts.posts, record.counts.set_aside, known=True)

    def score(self, stream: IO[bytes], reject: Callable[[bytes], None]) -> Counts:
        """Score the next part into ``stream``, without a header; ``reject`` takes a line for each bad row."""
        part = _OnePart(RunningCounts(self._bundle, self._job), Deduplicated(self._bundle, self._job.how.dedup), reject)
        with (
            _seldom_collected(),
            row_writer(
                stream,
                self._job.columns,
                ending=self._job.part_ending,
                schema=schema_of(self._job),
                raw=self._job.how.raw_csv,
            ) as write,
            closing(self._chunks()) as chunks,
        ):
            for chunk, cache in chunks:
                if isinstance(chunk, ReadBlock):
                    self._score_block(chunk, part, write)
                else:
                    self._score_rows(chunk, part, write, cache)
        late = () if self._job.kind == "jsonl" else tuple(self._late_columns)
        late_notes = self._table.late_notes() if self.ended or not self._from_start else ()
        counts = part.running.counts(part.row_errors, part.spellings, copied=part.alike.copied)
        return counts.model_copy(update={"left_out": late, "late_notes": late_notes})

    def _score_block(self, block: ReadBlock, part: _OnePart, write: RowWriter) -> None:
        """Score posts column by column; nothing of them is set aside."""
        assert isinstance(self._bundle, Bundle)
        for given, rows in block.languages_given.items():
            part.spellings.add(given, rows=rows)
        decisions = decision_columns(self._bundle, block.posts, detected=block.language_detected)
        decisions = rebased(decisions, self._job.facts, self._job.how.prevalence)
        kept = self._text.of_rows(block.cells)
        fields = {name: decisions[name] for name in self._fields}
        write.columns({**{self._names[name]: cells for name, cells in kept.items()}, **fields})
        part.running.add(decisions)
        self._report_counts(len(block.posts), 0)

    def _score_rows(
        self, chunk: Sequence[ReadPost | RowError], part: _OnePart, write: RowWriter, cache: MemoCache | None
    ) -> None:
        """Score rows one by one, and set aside those that cannot be used."""
        name = shown(self._facts)
        bad = [item for item in chunk if isinstance(item, RowError)]
        if bad and self._job.how.on_error == "fail":
            raise row_error(bad[0], name)
        for error in bad:
            part.reject(reject_line(name, error).encode())
            part.row_errors.add(error)
        good = [item for item in chunk if isinstance(item, ReadPost)]
        for item in good:
            part.spellings.add(item.language_given)
        with memoised(cache):
            decisions = part.alike.decide(
                [item.post for item in good], detected=[item.language_detected for item in good]
            )
        decisions = rebased_decisions(decisions, self._job.facts, self._job.how.prevalence)
        self._write(good, decisions, part.alike.cells(), write)
        part.running.add(columns_of_decisions(decisions))
        self._report_counts(len(good), len(bad))

    def _chunks(self) -> Generator[tuple[Chunk, MemoCache | None], None, None]:
        """The rows of the next part in chunks: as columns where that is possible and gives the same bytes, else one by
        one, tokenised where a member needs that, ahead of the chunk that is scored, in a thread."""
        bundle = self._bundle
        if isinstance(bundle, RemoteBundle) or not bundle.tokenises:
            return ((chunk, None) for chunk in self._read_chunks())
        rows = (chunk for chunk in self._read_chunks() if not isinstance(chunk, ReadBlock))
        return prefetch(rows, lambda some: bundle.pretokenise([x.post for x in some if isinstance(x, ReadPost)]))

    @property
    def _by_columns(self) -> bool:
        """Whether nothing but the P of its members is wanted of the posts, from members that score them in no time."""
        spec = self._job.how
        is_plain = spec.dedup == "off" and not spec.evidence and self._job.kind != "xlsx"
        return is_plain and isinstance(self._bundle, Bundle) and self._bundle.reads_ngrams_alone

    def _read_chunks(self) -> Iterator[Chunk]:
        left = self._job.how.part_posts
        while left > 0 and (pieces := self._rows.take(min(left, CHUNK_POSTS))):
            if self._by_columns and (block := self._block(pieces)):
                left -= len(block.posts)
                yield block
                continue
            rows = rows_in(pieces)
            table = replace(self._table, rows=rows)
            read = read_rows(table, self._columns, self._job.data, labelled=False, languages=self._languages)
            chunk = next(chunked(read))
            self._rows.return_first(list(rows))  # of very long posts a chunk takes fewer
            left -= len(chunk)
            yield chunk

    def _block(self, pieces: Sequence[Piece]) -> ReadBlock | None:
        block = read_block(pieces, self._columns, self._languages)
        known = {*self._names, *self._text.columns}
        if block and block.cells.keys() <= known and block.characters < CHUNK_CHARACTERS:
            return block
        return None

    def _first_rows(self) -> Callable[[], list[HeadRow]]:
        """What gives text and language of the first rows of the input, of which none was drawn yet."""
        pieces = self._rows.take(HEAD_ROWS)
        self._rows.return_first(pieces)
        return lambda: head_of(rows_in(pieces), self._columns)

    def _write(
        self,
        good: Sequence[ReadPost],
        decisions: Sequence[Decision],
        duplicates: Sequence[dict[str, object]],
        write: RowWriter,
    ) -> None:
        rows = [
            as_cells(decision, self._fields) | duplicate
            for decision, duplicate in zip(decisions, duplicates, strict=True)
        ]
        if self._job.how.evidence and isinstance(self._bundle, Bundle):
            evidence = evidence_cells(self._bundle, [item.post for item in good], decisions)
            rows = [row | more for row, more in zip(rows, evidence, strict=True)]
        cells = [self._input_cells(item) | row for item, row in zip(good, rows, strict=True)]
        if self._job.kind == "xlsx":
            for item, row in zip(good, cells, strict=True):
                check_cells(plain_cells(row), where=f"{shown(self._facts)}:{item.row.line}")
        write.rows(cells)

    def _head(self) -> tuple[HeadRow, ...]:
        return _head_of(self._facts.model_dump_json(), self._job.data.model_dump_json())

    def _input_cells(self, item: ReadPost) -> dict[str, Any]:
        """The cells of a row by the names of their columns in the output."""
        cells, names = self._text.of_row(item.row.cells), self._names
        if not cells.keys() <= names.keys():
            self._add_late_columns(cells)
        return {names[column]: value for column, value in cells.items()}

    def _add_late_columns(self, cells: Mapping[str, Any]) -> None:
        """Name the columns that piped JSON has only behind its head, by which the output was planned."""
        for column in cells:
            if column in self._names:
                continue
            taken = {*self._names.values(), *self._job.columns}
            is_reserved = column in reserved_columns(self._job.how)
            self._names[column] = unused_name(f"input_{column}" if is_reserved else column, taken)
            self._late_columns.append(column)

    def _report_counts(self, posts: int, set_aside: int, *, known: bool = False) -> None:
        share = self._table.fraction() if self._table.fraction else 0.0
        at = min(int(share * self._facts.bytes), self._facts.bytes)
        self._report(ProgressEvent(posts=posts, set_aside=set_aside, bytes=at - self._bytes, known=known))
        self._bytes = at


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Python looks for cycles a hundred times less often: rows hold none, and that took a seventh of the time."""
    held = gc.get_threshold()
    gc.set_threshold(100 * held[0], *held[1:])
    try:
        yield
    finally:
        gc.set_threshold(*held)


def check_some_text(job: Job, records: Sequence[PartRecord]) -> None:
    """Raise DataError where no post of the whole job has a text: another column was meant, or the file is damaged."""
    counts = total(record.counts for record in records)
    if counts.posts < FEWEST_POSTS or counts.missing < counts.posts:
        return
    facts = job.inputs[0]
    column = columns_of(facts, job).columns["text"]
    with nullcontext() if facts.path == STDIN else open_input(facts, job) as table:
        rows = [row.cells for row in islice(table.rows, _HEAD) if isinstance(row, Row)] if table else []
    raise no_text_error(rows, column=column, posts=counts.posts, where=shown(facts))


@lru_cache(maxsize=64)
def _head_of(facts: str, data: str) -> tuple[HeadRow, ...]:
    """The first rows of an input of which a part is read; its facts and the settings as JSON, to be remembered by."""
    given, spec = InputFacts.model_validate_json(facts), DataSpec.model_validate_json(data)
    columns = map_columns(given.columns, spec, required=("text",), where=shown(given), derived=given.derived)
    with open_table(given.path, spec, columns=given.columns) as table:
        return tuple(head_of(rows_in(_with_keys(pieces_of(table.rows), dict(given.partition))), columns))


def _with_keys(pieces: Iterator[Piece], keys: Mapping[str, str]) -> Iterator[Piece]:
    """The rows with the keys of their folders as cells, behind and not instead of those that the file holds."""
    for piece in pieces:
        added = {key: value for key, value in keys.items() if key not in piece.cells}
        if not added:
            yield piece
        elif isinstance(piece, RowBlock):
            yield replace(piece, cells={**piece.cells, **{key: [value] * len(piece) for key, value in added.items()}})
        else:
            yield replace(piece, cells={**piece.cells, **added})


@dataclass(frozen=True, slots=True)
class _OnePart:
    """What is counted of a part while it is scored; ``reject`` takes a line for each bad row."""

    running: RunningCounts
    alike: Deduplicated
    reject: Callable[[bytes], None]
    row_errors: RowErrorCounts = field(default_factory=RowErrorCounts)
    spellings: LanguageSpellings = field(default_factory=LanguageSpellings)
