"""Many rows into a table at the speed of the driver: executemany on SQLite, COPY on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

_CACHE_KIB = 131_072


def enlarge_cache(connection: sa.Connection) -> None:
    """Let this connection to SQLite keep 128 MB of pages in memory: indexes in random order touch most of theirs."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KIB}")


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose cells are in the order of the table's columns, in the transaction of the connection."""
    if not rows:
        return
    names = [column.name for column in table.columns]
    quoted = ", ".join(f'"{name}"' for name in names)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        statement = f'INSERT INTO "{table.name}" ({quoted}) VALUES ({marks})'
        connection.exec_driver_sql(statement, [tuple(row) for row in rows])
        return
    cursor = connection.connection.cursor()
    with cursor.copy(f'COPY "{table.name}" ({quoted}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)
    cursor.close()


def next_id(connection: sa.Connection, column: sa.ColumnElement[int]) -> int:
    """The number behind the largest of a column."""
    return (connection.execute(sa.select(sa.func.max(column))).scalar() or 0) + 1
