"""Open the database of a review store by the rules that keep decisions safe, on SQLite or PostgreSQL.

In comes a location as a user writes it; out goes a ``Database``: connections for reading, one way to write, a lock for
the one server. What always holds: SQLite in WAL with full syncs, read back after setting; a file that only its owner
reads; one writing transaction at a time over all processes; the triggers of the log alive; no error with post text.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from polyvigil.errors import RecipeError, StoreAwayError, StoreError, require
from polyvigil.review.schema import SCHEMA_VERSION, TRIGGERS, metadata, triggers_on_event

_WRITERS, _SERVER, _IMPORT = 7_250_001, 7_250_002, 7_250_003
"""Keys of PostgreSQL's advisory locks, which belong to one database: of a transaction, the server, an import."""
_LOCK_SECONDS = 3.0
"""How long a lock of PostgreSQL is waited for: its server needs a moment to see that a process was killed."""
_OLDEST_POSTGRESQL = 130_000
_PRAGMAS = (
    ("busy_timeout", "10000", 10_000),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("secure_delete", "ON", 1),
)
"""Of every connection to SQLite: what is set, and what is to be read back."""


@dataclass(slots=True)
class Database:
    """An open database. Threads may share it; each ``read`` or ``write`` takes a connection of its own."""

    location: str
    """As it is shown: a path, or a URL without a password."""
    engine: sa.Engine
    path: Path | None
    """The file of SQLite; None on PostgreSQL."""
    _locks: list[Any] = field(default_factory=list)

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the store."""
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with database_errors(self.location), self.engine.connect() as plain:
            connection = plain.execution_options(**options)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """The one writing transaction; others wait for its end. It is on the disk when the block has ended well."""
        with database_errors(self.location), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS)))
                yield connection

    def lock_for_server(self) -> None:
        """Be the one server of this store until ``close`` or the end of the process. Raises StoreAwayError."""
        in_use = StoreAwayError(
            "another server has this store open",
            where=self.location,
            hint="use that one, or stop it; one store has one server",
        )
        self._locks.append(self._locked("lock", _SERVER, in_use))

    @contextmanager
    def import_lock(self) -> Iterator[None]:
        """Inside, no other import runs on this store. Raises StoreAwayError where one does."""
        in_use = StoreAwayError(
            "another import runs on this store", where=self.location, hint="run the same command when it is done"
        )
        held = self._locked("import-lock", _IMPORT, in_use)
        try:
            yield
        finally:
            _give_back(held)

    def _locked(self, ending: str, number: int, in_use: StoreAwayError) -> Any:
        """A lock that goes when the process ends, however: of a file beside the store, or of a connection."""
        if self.path is not None:
            lock = self.path.with_name(f"{self.path.name}.{ending}")
            held: Any = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                held.close()
                raise in_use from None
            return held
        with database_errors(self.location):
            held, deadline = self.engine.connect(), time.monotonic() + _LOCK_SECONDS
            while not held.execute(sa.select(sa.func.pg_try_advisory_lock(number))).scalar():
                held.rollback()
                if time.monotonic() >= deadline:
                    held.close()
                    raise in_use
                time.sleep(0.05)
            held.commit()
        return held

    def close(self) -> None:
        """Give back locks and connections."""
        for held in self._locks:
            _give_back(held)
        self._locks.clear()
        self.engine.dispose()


def _give_back(held: Any) -> None:
    """End a lock of ``Database``."""
    if isinstance(held, sa.Connection):
        with suppress(SQLAlchemyError):  # of a server that is gone, and the lock with it
            held.execute(sa.text("SELECT pg_advisory_unlock_all()"))
            held.commit()
    held.close()


def open_database(location: str | Path, *, create: bool = False) -> Database:
    """Open the store at a path or at ``postgresql://user@host/name``, its tables brought up to date.

    ``create``: make one where there is none. Raises RecipeError for a location that is none or holds a password,
    StoreError for what is no store, a damaged one or one of a newer version, StoreAwayError where it cannot be reached.
    """
    require("sqlalchemy", "alembic", extra="review", needed_by="a review store")
    text = str(location)
    database = _postgresql(text) if "://" in text else _sqlite(Path(text), create=create)
    try:
        _bring_up_to_date(database, create=create)
        _check_triggers(database)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def database_errors(location: str) -> Iterator[None]:
    """Errors of the database as ours, without what was being written: its own messages may hold post text."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _as_store_error(error, location) from None


def _as_store_error(error: SQLAlchemyError, location: str) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) else None
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or type(cause or error).__name__
    if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return StoreError(f"is no database, or a damaged one ({name})", where=location, hint="restore a copy of it")
    if name in ("SQLITE_FULL", "53100"):
        return StoreAwayError("the disk is full; nothing was written", where=location, hint="free some space")
    if name.startswith("SQLITE_CONSTRAINT") or name[:2] in ("22", "23", "P0"):
        return StoreError(f"the database refuses what was to be written ({name})", where=location)
    return StoreAwayError(
        f"the database cannot be used now ({name})",
        where=location,
        hint="check that it is there, may be written to, and has room; then do the same again",
    )


def _sqlite(path: Path, *, create: bool) -> Database:
    if path.is_dir():
        raise StoreError("is a folder, not a review store", where=str(path))
    if not path.exists():
        if not create:
            raise StoreError(
                "no such review store", where=str(path), hint=f"make one: polyvigil review add {path} scored.csv"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    else:
        if not create and not path.stat().st_size:
            raise StoreError("is empty, no review store", where=str(path), hint="polyvigil review add makes one")
        _check_is_no_other_file(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            with suppress(OSError):  # not our file: then its owner has decided
                path.chmod(0o600)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": 10.0},
        pool_size=16,
        max_overflow=32,
    )
    sa.event.listen(engine, "connect", _on_sqlite_connection)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return Database(str(path), engine, path)


def _check_is_no_other_file(path: Path) -> None:
    """Raise StoreError for a file of something else, before anything of it is changed: its mode, its journal."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute(query)}
    except sqlite3.OperationalError:
        return  # locked, or not to be read: what opens it says so
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        message = f"is no database, or a damaged one ({name})"
        raise StoreError(message, where=str(path), hint="name another file, or restore a copy of the store") from None
    if tables and "alembic_version" not in tables:
        raise StoreError("is a database of another program", where=str(path), hint="name another file")


def _on_sqlite_connection(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite alone
    for name, value, expected in _PRAGMAS:
        connection.execute(f"PRAGMA {name}={value}").close()
        actual = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if actual != expected:
            hint = "put the store on a disk of this computer" if name == "journal_mode" else ""
            raise StoreError(f"SQLite has {name}={actual} here, and {value} is needed", hint=hint)


def _begin_sqlite(connection: sa.Connection) -> None:
    """Writers take the lock at their begin: one that read first and wrote then could only fail."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(text: str) -> Database:
    try:
        url = sa.make_url(text)
    except SQLAlchemyError:
        url = None
    if url is None or url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise RecipeError("is no store", where="STORE", hint="give a file, or postgresql://user@host/name")
    if url.password is not None or any("password" in name for name in url.query):
        hint = "set PGPASSWORD, or write a ~/.pgpass"
        raise RecipeError("a password in a URL is seen in the list of processes", where="STORE", hint=hint)
    require("psycopg", extra="postgres", needed_by="a review store on PostgreSQL")
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        connect_args={"connect_timeout": 10, "application_name": "polyvigil review"},
        isolation_level="READ COMMITTED",
        pool_size=16,
        max_overflow=32,
    )
    database = Database(url.render_as_string(), engine, None)
    with database.read() as connection:
        version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
        encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
    if version < _OLDEST_POSTGRESQL or encoding != "UTF8":
        database.close()
        message = f"PostgreSQL {version // 10_000} in {encoding}: 13 or newer in UTF8 is needed"
        raise StoreError(message, where=database.location)
    return database


def _bring_up_to_date(database: Database, *, create: bool) -> None:
    with database.read() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        version = _version(connection) if "alembic_version" in tables else ""
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"was made by a newer polyvigil (schema {version}, this one knows {SCHEMA_VERSION})",
            where=database.location,
            hint="update polyvigil",
        )
    if not version and tables:
        raise StoreError("is a database of another program", where=database.location, hint="name another file")
    if not version and not create:
        raise StoreError("is empty, no review store", where=database.location, hint="polyvigil review add makes one")
    with database.write() as connection:
        migrate(connection)


def _version(connection: sa.Connection) -> str:
    return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or "")


def migrate(connection: sa.Connection, version: str = "head") -> None:
    """Make or change the tables by the migrations up to a version, in the transaction of the connection."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    steps: Any = lambda current, _: scripts._upgrade_revs(version, current)  # noqa: E731 - as alembic's own commands do
    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=metadata)
        environment.run_migrations()


def _check_triggers(database: Database) -> None:
    with database.read() as connection:
        missing = TRIGGERS[connection.dialect.name].keys() - triggers_on_event(connection)
    if missing:
        raise StoreError(
            f"its log is not guarded: the trigger {', '.join(sorted(missing))} is gone or switched off",
            where=database.location,
            hint="somebody has changed the database; polyvigil review verify cannot be trusted until it is restored",
        )
