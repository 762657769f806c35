"""Scored files into a store: posts and scores in many small transactions, so that reviewers can go on beside it.

In comes a file of scored posts; out goes a batch with its posts, scores and tasks, and one event. A file is known by
its SHA-256: one that is there is not read again, and one whose import was killed goes on at the row where it stopped.
Memory does not grow with the file. Tasks appear when the whole file is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from polyvigil.config.data import DataSpec
from polyvigil.config.review import ReviewSpec
from polyvigil.data.read import RowErrorCounts, row_error
from polyvigil.data.table import RowError
from polyvigil.errors import DataError
from polyvigil.review.bulk import enlarge_cache, insert_rows, next_id
from polyvigil.review.choosing import (
    Choice,
    MadeTasks,
    announce_tasks,
    choose_posts,
    open_announced,
    open_tasks,
    posts_with_tasks,
    seed_of,
    store_tasks,
)
from polyvigil.review.event_log import Event, keyed_hash
from polyvigil.review.frames import AuditRound
from polyvigil.review.known_posts import KnownPosts, NewTexts, known_posts, reads_as, scored_already
from polyvigil.review.schema import batch, event, post, scoring, utc_text
from polyvigil.review.scored_rows import ScoredFile, ScoredRow, as_shown, open_scored
from polyvigil.review.store import Store
from polyvigil.types import Frozen

_ROWS_BESIDE, _PAUSE = 2_000, 0.02
"""Rows of a transaction, and seconds between two, where people review meanwhile: their p99 stayed below 100 ms."""
_ROWS_ALONE = 50_000
"""Of an empty store, which nobody uses yet: the index of texts is in random order, so each transaction writes most of
its pages anew, and fewer transactions write less."""
_ROWS_READ = 500


class BatchResult(Frozen):
    """What became of one file."""

    file: str
    batch: int
    bundle: str
    rows: int
    posts: int
    """Posts that were not in the store before."""
    rescored: int
    """Rows of posts that were there already."""
    copies: int
    """New posts of the same language that read the same as another; they are decided with it."""
    tasks: int
    queue: int
    audit: int
    double: int
    closed: int
    """Open tasks of posts that this file's bundle no longer flags."""
    set_aside: int
    resumed_at: int
    """The row at which a killed import went on; 0: none."""
    was_there: bool
    """The file was in the store already, and nothing was done."""


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    posts: int = 0
    rescored: int = 0
    copies: int = 0


@dataclass(frozen=True, slots=True)
class _HashedRow:
    row: ScoredRow
    mac: bytes
    reads_as: int | None

    @classmethod
    def of(cls, row: ScoredRow, mac_key: bytes) -> _HashedRow:
        mac = keyed_hash(mac_key, row.text or row.source_id)
        return cls(row, mac, reads_as(mac_key, row.text, row.language))


@dataclass(frozen=True, slots=True)
class _LoadOptions:
    keep_text: bool
    fail_at_bad_row: bool
    progress: Callable[[int], None] | None


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    state: str
    n_rows: int
    n_posts: int
    bundle: str


def add_file(
    store: Store,
    path: str | Path,
    *,
    data: DataSpec | None = None,
    spec: ReviewSpec | None = None,
    keep_text: bool = True,
    fail_at_bad_row: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[BatchResult, list[str]]:
    """Put a scored file into a store and choose what is read. Returns what became of it, and notes for the user.

    ``keep_text``: without, no text is stored, and reviewers open each post at its source by its id. Raises DataError
    for a file that is none, that holds no usable row, or at the first bad row with ``fail_at_bad_row``;
    StoreAwayError while another import runs.
    """
    spec, counts, errors = spec or ReviewSpec(), _Counts(), RowErrorCounts()
    with store.database.import_lock(), open_scored(path, data, needs_text=keep_text) as file:
        known = _known_batch(store, file.sha256)
        if known and known.state == "ready":
            return _was_there(file, known), [f"{file.name} is in the store already (batch {known.number})"]
        loaded = _load(store, file, known, counts, errors, _LoadOptions(keep_text, fail_at_bad_row, progress))
        if loaded is None:
            first = errors.messages(file.name)
            raise DataError("no row of it can be used", where=file.name, hint="; ".join(first[:1]) or "it has no rows")
        if loaded.state == "loading":
            _make_tasks(store, file, path, data, loaded, counts, spec)
        open_tasks(store, loaded.number)
        result = _result(store, file, loaded, counts, errors.total, resumed_at=known.n_rows if known else 0)
    notes = list(file.notes)
    if errors.total:
        notes.append(f"{errors.total:,} rows set aside: {'; '.join(errors.messages(file.name))}")
    return result, notes


def _make_tasks(
    store: Store,
    file: ScoredFile,
    path: str | Path,
    data: DataSpec | None,
    loaded: _Batch,
    counts: _Counts,
    spec: ReviewSpec,
) -> None:
    """Choose what is read, store it, and say so in the log."""
    seed = seed_of(file.sha256)
    open_announced(store)  # of another file, whose import was killed just there
    if file.is_worklist:
        choices, one = _listed(store, path, data), AuditRound(0, seed)
    else:
        with store.read() as connection:
            choices, one = choose_posts(connection, loaded.number, spec, seed=seed)
    made: MadeTasks = store_tasks(store, choices, loaded.bundle, spec, one)
    body = {"file_sha256": file.sha256, "bundle": loaded.bundle, "rows": counts.rows, "worklist": file.is_worklist}
    with store.database.write() as connection:
        announce_tasks(connection, store, kind="add", number=loaded.number, made=made, body=body)


def _listed(store: Store, path: str | Path, data: DataSpec | None) -> list[Choice]:
    """The rows of a worklist as choices, each post once, but for those that are tasks already."""
    listed: dict[int, Choice] = {}
    with open_scored(path, data, needs_text=False) as file, store.read() as connection:
        for _, chunk in _chunks(file, _ROWS_READ):
            rows = [row for row in chunk if isinstance(row, ScoredRow) and row.purpose]
            macs = [keyed_hash(store.mac_key, row.text or row.source_id) for row in rows]
            known = known_posts(connection, macs)
            for row, mac in zip(rows, macs, strict=True):
                number = known.root[known.by_source[mac, row.source_id]]
                choice = Choice(number, row.language, row.p_calibrated, row.purpose, row.inclusion_p, row.scored_posts)
                listed.setdefault(number, choice)
        taken = posts_with_tasks(connection)
    return [choice for number, choice in listed.items() if number not in taken]


def _known_batch(store: Store, digest: str) -> _Batch | None:
    query = sa.select(batch.c.id, batch.c.state, batch.c.n_rows, batch.c.n_posts, batch.c.bundle)
    with store.read() as connection:
        row = connection.execute(query.where(batch.c.file_sha256 == digest)).one_or_none()
    return _Batch(*row) if row else None


def _was_there(file: ScoredFile, known: _Batch) -> BatchResult:
    return BatchResult(
        file=file.name,
        batch=known.number,
        bundle=known.bundle,
        rows=known.n_rows,
        posts=known.n_posts,
        was_there=True,
        **dict.fromkeys(("rescored", "copies", "tasks", "queue", "audit", "double", "closed", "set_aside"), 0),
        resumed_at=0,
    )


def _load(
    store: Store,
    file: ScoredFile,
    earlier: _Batch | None,
    counts: _Counts,
    errors: RowErrorCounts,
    options: _LoadOptions,
) -> _Batch | None:
    """Put the rows into the store, from where an earlier run stopped. None where no row can be used."""
    is_alone = earlier is None and _is_empty(store)
    new_texts, new_readings = (NewTexts(), NewTexts()) if is_alone else (None, None)
    start, reached = earlier.n_rows if earlier else 0, earlier
    for first, chunk in _chunks(file, _ROWS_ALONE if is_alone else _ROWS_BESIDE):
        _count_errors(file, chunk, errors, options)
        fresh = [row for row in chunk[max(start - first, 0) :] if isinstance(row, ScoredRow)]
        counts.rows = first + len(chunk)
        if counts.rows <= start or (reached is None and not fresh):
            continue
        hashed = [_HashedRow.of(row, store.mac_key) for row in fresh]
        macs, numbers = [one.mac for one in hashed], [one.reads_as for one in hashed if one.reads_as is not None]
        with store.database.write() as connection:
            if is_alone:
                enlarge_cache(connection)
            reached = reached or _begin_batch(connection, store, file, fresh[0].bundle)
            known = known_posts(
                connection,
                new_texts.take(macs) if new_texts else macs,
                new_readings.take_numbers(numbers) if new_readings else numbers,
            )
            n_posts = _store_rows(connection, reached, hashed, known, counts, keep_text=options.keep_text)
            values = {"n_rows": counts.rows, "n_posts": batch.c.n_posts + n_posts}
            connection.execute(sa.update(batch).where(batch.c.id == reached.number).values(values))
        if options.progress:
            options.progress(counts.rows)
        if not is_alone:
            time.sleep(_PAUSE)
    return reached


def _chunks(file: ScoredFile, size: int) -> Iterator[tuple[int, list[ScoredRow | RowError]]]:
    """The rows in chunks, each with the number of rows before it."""
    first = 0
    while chunk := list(islice(file.rows, size)):
        yield first, chunk
        first += len(chunk)


def _count_errors(
    file: ScoredFile, chunk: Sequence[ScoredRow | RowError], errors: RowErrorCounts, options: _LoadOptions
) -> None:
    for row in chunk:
        if isinstance(row, RowError):
            if options.fail_at_bad_row:
                raise row_error(row, file.name)
            errors.add(row)


def _is_empty(store: Store) -> bool:
    with store.read() as connection:
        return connection.execute(sa.select(batch.c.id).limit(1)).scalar() is None


def _begin_batch(connection: sa.Connection, store: Store, file: ScoredFile, bundle: str) -> _Batch:
    number = next_id(connection, batch.c.id)
    connection.execute(
        sa.insert(batch).values(
            id=number,
            file_name=Path(file.name).name,
            file_sha256=file.sha256,
            bundle=bundle,
            n_posts=0,
            n_rows=0,
            state="loading",
            added_at=utc_text(store.clock()),
        )
    )
    return _Batch(number, "loading", 0, 0, bundle)


def _store_rows(
    connection: sa.Connection,
    reached: _Batch,
    rows: Sequence[_HashedRow],
    known: KnownPosts,
    counts: _Counts,
    *,
    keep_text: bool,
) -> int:
    """Insert what is new of some rows: posts, and scores by this bundle. Returns how many posts are new."""
    scored = scored_already(connection, list(known.by_source.values()), reached.bundle)
    number = next_id(connection, post.c.id)
    posts: list[tuple[Any, ...]] = []
    scores: list[tuple[Any, ...]] = []
    for one in rows:
        row = one.row
        identity = known.by_source.get((one.mac, row.source_id))
        if identity is None:
            identity, number = number, number + 1
            known.by_source[one.mac, row.source_id] = identity
            root = known.first_of_text.setdefault((one.mac, row.language), identity)
            if one.reads_as is not None:
                root = known.first.setdefault(one.reads_as, root)
            counts.copies += root != identity
            posts.append(_post_cells(identity, reached.number, one, root, keep_text=keep_text))
        else:
            counts.rescored += 1
        if identity not in scored:
            scored.add(identity)
            scores.append(_score_cells(identity, row))
    insert_rows(connection, post, posts)
    insert_rows(connection, scoring, scores)
    counts.posts += len(posts)
    return len(posts)


def _result(
    store: Store, file: ScoredFile, loaded: _Batch, counts: _Counts, set_aside: int, *, resumed_at: int
) -> BatchResult:
    """What became of the file: what this run counted, and what the log says of its tasks."""
    with store.read() as connection:
        rows = connection.execute(sa.select(event).where(event.c.kind == "add").order_by(event.c.seq.desc()))
        body = next(one for one in (Event(*row).fields() for row in rows) if one["batch"] == loaded.number)
        n_posts = connection.execute(sa.select(batch.c.n_posts).where(batch.c.id == loaded.number)).scalar_one()
    return BatchResult(
        file=file.name,
        batch=loaded.number,
        bundle=loaded.bundle,
        rows=counts.rows,
        posts=n_posts,
        rescored=counts.rescored,
        copies=counts.copies,
        tasks=body["tasks"],
        queue=body["queue"],
        audit=body["tasks"] - body["queue"],
        double=body["double"],
        closed=body["closed"],
        set_aside=set_aside,
        resumed_at=resumed_at,
        was_there=False,
    )


def _post_cells(identity: int, number: int, one: _HashedRow, root: int, *, keep_text: bool) -> tuple[Any, ...]:
    row = one.row
    text = as_shown(row.text) if keep_text else None
    raw = row.text.encode("utf-8", "surrogatepass") if keep_text and text != row.text else None
    copy_of = None if root == identity else root
    return (identity, number, row.source_id, row.language, row.type, text, raw, one.mac, copy_of, one.reads_as)


def _score_cells(identity: int, row: ScoredRow) -> tuple[Any, ...]:
    return (
        *(
            identity,
            row.bundle,
            row.p,
            row.p_calibrated,
            row.threshold,
            row.threshold_source,
            row.decision,
            row.disagreement,
        ),
        *(row.evidence_start, row.evidence_end, row.flags),
    )
