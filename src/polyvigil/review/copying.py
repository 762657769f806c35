"""A store to another place or engine: SQLite to PostgreSQL and back, or a backup. All of it arrives, or nothing."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from polyvigil.errors import StoreError
from polyvigil.review.bulk import insert_rows
from polyvigil.review.event_log import head
from polyvigil.review.schema import batch, event, lease, metadata, person, session, store_info
from polyvigil.review.store import Store
from polyvigil.types import Frozen

_CHUNK = 5_000
_LEFT_OUT = (session, lease)
"""Who is signed in, and what is on a screen: not of the copy."""


class CopyResult(Frozen):
    """What was copied."""

    source: str
    target: str
    rows: dict[str, int]
    """By table."""
    head_seq: int
    head: str


def copy_store(source: Store, target: Store, *, progress: Callable[[int], None] | None = None) -> CopyResult:
    """Copy all of a store into a new one, which has its id and key then; open ``target`` again afterwards.

    Raises StoreError where the target holds anything, or is not what the source was in the end.
    """
    tables = [table for table in metadata.sorted_tables if table not in _LEFT_OUT]
    counts: dict[str, int] = {}
    done = 0
    with source.read() as old, target.database.write() as new:
        for table in (batch, event, person):
            if new.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).scalar() is not None:
                raise StoreError(
                    "holds something already", where=target.location, hint="name a new file or an empty database"
                )
        new.execute(sa.delete(store_info))
        for table in tables:
            query = sa.select(table).order_by(*table.primary_key.columns)
            counts[table.name] = 0
            for rows in old.execution_options(yield_per=_CHUNK).execute(query).partitions():
                insert_rows(new, table, rows)
                counts[table.name] += len(rows)
                done += len(rows)
                if progress:
                    progress(done)
        last = head(old)
        for table in tables:
            number = new.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            if number != counts[table.name]:
                raise StoreError(f"{number:,} rows of {table.name} arrived of {counts[table.name]:,}")
        if head(new) != last:
            raise StoreError("the log did not arrive as it was", where=target.location)
    return CopyResult(source=source.location, target=target.location, rows=counts, head_seq=last.seq, head=last.hash)
