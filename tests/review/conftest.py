"""Review stores on SQLite and on a PostgreSQL server of the tests' own: every test of the store runs on both."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="pip install 'polyvigil[review]'")

import sqlalchemy as sa
from tests.review.small import Clock, fill

from polyvigil.review.store import Store, open_store

_REQUIRED = "postgres" in os.environ.get("POLYVIGIL_REQUIRE", "").split(",")
_ACCOUNT = "postgres"
"""PostgreSQL does not run as root; there it runs as this user."""


def _binaries() -> Path | None:
    """The folder of the newest PostgreSQL server here."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found and shutil.which("postgres") else None


def _absent(reason: str) -> None:
    if _REQUIRED:
        pytest.fail(f"POLYVIGIL_REQUIRE has postgres: {reason}")
    pytest.skip(reason)


class PostgreSQL:
    """A server on a free port of this computer, with its data in a folder of the tests."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._binaries, self._data = binaries, folder / "data"
        self._user: dict[str, Any] = {"user": _ACCOUNT, "group": _ACCOUNT} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, _ACCOUNT, _ACCOUNT)
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "tester", "-E", "UTF8", "--locale=C", "-D", self._data)
        self._sockets = folder
        self.start()

    def start(self) -> None:
        """Start the server on a free port, and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = f"-p {self.port} -k {self._sockets} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "-l", self._sockets / "log", "-o", options, "start")

    def stop(self, *, mode: str = "immediate") -> None:
        """Stop the server; ``immediate`` is a crash of it."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "stop")

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **self._user)

    def empty_database(self, name: str) -> str:
        """The URL of a database without tables; one of the name is used again, since making and removing takes long."""
        with self._connection("postgres") as connection:
            if (
                connection.execute(sa.text("SELECT 1 FROM pg_database WHERE datname = :n"), {"n": name}).scalar()
                is None
            ):
                connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
        with self._connection(name) as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://tester@127.0.0.1:{self.port}/{name}"

    @contextmanager
    def _connection(self, name: str) -> Iterator[sa.Connection]:
        url = f"postgresql+psycopg://tester@127.0.0.1:{self.port}/{name}"
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield connection


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server; skipped where there is none."""
    binaries = _binaries()
    if binaries is None:
        _absent("no PostgreSQL server found: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="pip install 'polyvigil[postgres]'")
    assert binaries is not None
    # No folder of pytest's: those are for the user who runs the tests alone.
    with tempfile.TemporaryDirectory(prefix="polyvigil-pg-", ignore_cleanup_errors=True) as folder:
        server = PostgreSQL(Path(folder), binaries)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store can be made, on each engine."""
    if request.param == "sqlite":
        return str(tmp_path / "review.db")
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.empty_database("review")


@pytest.fixture
def clock() -> Clock:
    """A clock that stands until it is moved."""
    return Clock(time.time())


@pytest.fixture
def empty_store(location: str, clock: Clock) -> Iterator[Store]:
    """A new store."""
    with open_store(location, create=True, clock=clock) as store:
        yield store


@pytest.fixture
def store(empty_store: Store) -> Store:
    """A store with twelve posts to read, of which the last four go to two people, and three people: 1, 2 and lead 3."""
    for name, role in (("ana", "reviewer"), ("bo", "reviewer"), ("cy", "lead")):
        empty_store.add_person(name, role=role)  # type: ignore[arg-type]
    fill(empty_store, n=12, double=4)
    return empty_store


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Makes further stores on SQLite."""
    made: list[Store] = []

    def make() -> Store:
        made.append(open_store(tmp_path / f"other-{len(made)}.db", create=True))
        return made[-1]

    yield make
    for one in made:
        one.close()
