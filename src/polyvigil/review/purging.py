"""Forget the texts of old posts: text, id at the source and notes go; decisions, scores and the log stay.

The log stays whole, since it holds keyed hashes in their place. Backups and exports are not reached.
"""

from __future__ import annotations

import re

import sqlalchemy as sa

from polyvigil.errors import RecipeError
from polyvigil.review.event_log import append
from polyvigil.review.schema import batch, event, lease, note, post, task, utc_text
from polyvigil.review.store import Store
from polyvigil.types import Frozen

_AGE = re.compile(r"(\d{1,6})([dwy]?)")
_DAYS = {"": 1, "d": 1, "w": 7, "y": 365}
_CHUNK = 2_000
PURGED = "purged-"
"""What the source's id of a purged post begins with; the rest is the post's number in the store."""


class PurgeResult(Frozen):
    """What was forgotten, or with a dry run would be."""

    before: str
    """Batches that were added, and notes that were written before this time."""
    posts: int
    notes: int
    closed: int
    """Tasks that waited for a first reviewer, who has nothing to read now."""
    kept: int
    """Old posts that are kept, as a second reviewer or a lead has yet to read them."""
    dry_run: bool


def days_of(age: str) -> int:
    """``180d``, ``26w``, ``1y`` as days. Raises RecipeError."""
    match = _AGE.fullmatch(age)
    if match is None:
        raise RecipeError(f"{age!r} is no age", where="--older-than", hint="such as 180d, 26w, 2y")
    return int(match[1]) * _DAYS[match[2]]


def purge(store: Store, *, days: int, dry_run: bool = False) -> PurgeResult:
    """Forget posts of batches, and notes, that are older than ``days``."""
    before = utc_text(store.clock() - days * 86_400)
    waits = sa.exists().where(task.c.post == post.c.id, task.c.state.in_(("second", "conflict")))
    old = sa.and_(
        post.c.batch.in_(sa.select(batch.c.id).where(batch.c.added_at < before, batch.c.state == "ready")),
        post.c.source_id.not_like(f"{PURGED}%"),
    )
    old_notes = sa.and_(note.c.seq.in_(sa.select(event.c.seq).where(event.c.at < before)), note.c.text.is_not(None))
    unread = sa.and_(task.c.state == "open", task.c.post.in_(sa.select(post.c.id).where(old, ~waits)))
    with store.read() as connection:
        result = PurgeResult(
            before=before,
            posts=_count(connection, post, sa.and_(old, ~waits)),
            notes=_count(connection, note, old_notes),
            closed=_count(connection, task, unread),
            kept=_count(connection, post, sa.and_(old, waits)),
            dry_run=dry_run,
        )
    if dry_run or not (result.posts or result.notes):
        return result
    closed, posts = _forget_posts(store, sa.and_(old, ~waits))
    with store.database.write() as connection:
        notes = connection.execute(sa.update(note).where(old_notes).values(text=None)).rowcount
        body = {"before": before, "posts": posts, "notes": notes}
        append(connection, now=store.clock(), reviewer=0, kind="purge", body=body)
    _vacuum(store)
    return result.model_copy(update={"posts": posts, "notes": notes, "closed": closed})


def _count(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()


def _forget_posts(store: Store, old: sa.ColumnElement[bool]) -> tuple[int, int]:
    """Forget in small transactions, each of which says in the log which tasks it closes. Returns closed, posts."""
    closed = posts = last = 0
    while True:
        with store.database.write() as connection:
            query = sa.select(post.c.id).where(old, post.c.id > last).order_by(post.c.id).limit(_CHUNK)
            numbers = list(connection.execute(query).scalars())
            if not numbers:
                return closed, posts
            values = {"text": None, "raw_text": None, "source_id": PURGED + sa.cast(post.c.id, sa.Text())}
            connection.execute(sa.update(post).where(post.c.id.in_(numbers)).values(values))
            unread = sa.select(task.c.id).where(task.c.post.in_(numbers), task.c.state == "open")
            tasks = list(connection.execute(unread).scalars())
            if tasks:
                connection.execute(sa.delete(lease).where(lease.c.task.in_(tasks)))
                connection.execute(sa.update(task).where(task.c.id.in_(tasks)).values(state="closed"))
                body = {"posts": 0, "notes": 0, "closed": len(tasks)}
                append(connection, now=store.clock(), reviewer=0, kind="purge", body=body)
            closed, posts, last = closed + len(tasks), posts + len(numbers), numbers[-1]


def _vacuum(store: Store) -> None:
    """Let nothing of what was forgotten stand in free room of the database's files."""
    with store.database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        if not store.database.is_sqlite:
            for table in (post, note):
                connection.execute(sa.text(f"VACUUM FULL {table.name}"))
            return
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        driver.execute("VACUUM")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
