"""How a store is opened on each engine: migrations, guards of the log, locks, rights, what is refused."""

from __future__ import annotations

import functools
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.review.small import fill

import polyvigil.review
from polyvigil.errors import PolyvigilError, RecipeError, StoreAwayError, StoreError
from polyvigil.review.engine import open_database
from polyvigil.review.schema import APPEND_ONLY, SCHEMA_VERSION, TRIGGERS, event, metadata, post
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify


def test_the_migrations_make_what_the_queries_expect(empty_store: Store) -> None:
    with empty_store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert {check["name"] for check in sa.inspect(connection).get_indexes("task")} >= {"task_next", "task_counts"}


def test_the_newest_migration_is_the_one_that_is_expected() -> None:
    scripts = ScriptDirectory(str(Path(polyvigil.review.__file__).with_name("migrations")))
    assert scripts.get_current_head() == SCHEMA_VERSION


def test_the_log_cannot_be_changed(store: Store) -> None:
    before = store.head()
    for text in ("UPDATE event SET reviewer = 9", "DELETE FROM event", "DELETE FROM event WHERE seq = 1"):
        statement = sa.text(text)
        with pytest.raises(sa.exc.DBAPIError, match=APPEND_ONLY), store.database.engine.begin() as connection:
            connection.execute(statement)
        with pytest.raises(StoreError, match="refuses what was to be written"):
            store.write(functools.partial(sa.Connection.execute, statement=statement))
    assert store.head() == before


def test_an_event_cannot_be_replaced_or_the_table_emptied(store: Store) -> None:
    if store.database.is_sqlite:
        statement = "INSERT OR REPLACE INTO event SELECT seq, at, 9, kind, task, body, key, prev, hash FROM event"
    else:
        statement = "TRUNCATE event"
    with pytest.raises(sa.exc.DBAPIError, match=APPEND_ONLY), store.database.engine.begin() as connection:
        connection.execute(sa.text(statement))


def test_a_store_whose_guards_are_gone_is_not_opened(location: str) -> None:
    with open_store(location, create=True) as store:
        name = next(iter(TRIGGERS[store.database.engine.dialect.name]))
        on = "" if store.database.is_sqlite else " ON event"
        store.write(lambda connection: connection.execute(sa.text(f"DROP TRIGGER {name}{on}")))
    with pytest.raises(StoreError, match=f"trigger {name} is gone"):
        open_store(location)


def test_a_store_has_one_server_and_any_number_of_commands(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyvigil.review.engine._LOCK_SECONDS", 0.0)
    with open_store(location, create=True, server=True) as server:
        with pytest.raises(StoreAwayError, match="another server has this store open"):
            open_store(location, server=True)
        with open_store(location) as command:
            command.add_person("ana")
        assert [one.name for one in server.people()] == ["ana"]
    open_store(location, server=True).close()


def test_opening_again_keeps_the_identity(location: str) -> None:
    with open_store(location, create=True) as first:
        identity = (first.id, first.mac_key)
    with open_store(location, create=True) as second:
        assert (second.id, second.mac_key) == identity


def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "review.db"
    with open_store(path, create=True, server=True) as store:
        store.add_person("ana")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert set(modes) >= {"review.db", "review.db-wal", "review.db.lock"}
    assert set(modes.values()) == {0o600}
    path.chmod(0o644)
    open_store(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    with open_store(tmp_path / "review.db", create=True) as store, store.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "trusted_schema": 0,
    }


def test_a_store_of_a_newer_version_is_refused(location: str) -> None:
    with open_store(location, create=True) as store:
        store.write(lambda connection: connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(StoreError, match=r"newer polyvigil \(schema 9999, this one knows"):
        open_store(location)


def _text_file(path: Path) -> None:
    path.write_text("id,text\n1,hello\n" * 100, encoding="utf-8")


def _other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmark (url TEXT)")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (_text_file, "is no database, or a damaged one"),
        (_other_program, "is a database of another program"),
        (lambda path: path.touch(), "is empty"),
        (lambda _: None, "no such review store"),
    ],
)
def test_what_is_no_store_is_refused_with_exit_4(make: object, message: str, tmp_path: Path) -> None:
    make(tmp_path / "x.db")  # type: ignore[operator]
    before = sorted(tmp_path.iterdir())
    stood = [(path.stat().st_mode, path.read_bytes()) for path in before if path.is_file()]
    with pytest.raises(StoreError, match=message) as caught:
        open_store(tmp_path / "x.db")
    assert (caught.value.exit_code, caught.value.where) == (4, str(tmp_path / "x.db"))
    assert sorted(tmp_path.iterdir()) == before
    assert [(path.stat().st_mode, path.read_bytes()) for path in before if path.is_file()] == stood


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://me:secret@db/x", "a password in a URL"),
        ("postgresql://me@db/x?password=secret", "a password in a URL"),
        ("mysql://me@db/x", "is no store"),
        ("http://example.org", "is no store"),
    ],
)
def test_a_location_that_is_none_or_holds_a_password(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        open_database(text)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_no_damage() -> None:
    with pytest.raises(StoreAwayError) as caught:
        open_database("postgresql://nobody@127.0.0.1:1/none")
    assert caught.value.exit_code == 1


def test_errors_of_the_database_hold_no_post_text(store: Store) -> None:
    canary = "zebrafinch"

    def twice(connection: sa.Connection) -> None:
        row = {"id": 500, "batch": 1, "source_id": canary, "language": "en", "type": "", "text": canary}
        for number in (500, 501):
            connection.execute(sa.insert(post).values(row | {"id": number, "text_mac": b"x"}))

    with pytest.raises(PolyvigilError) as caught:
        store.write(twice)
    assert canary not in repr(caught.value)
    assert caught.value.__suppress_context__
    assert canary not in str(caught.value.__cause__ or "")


def test_a_full_disk_acknowledges_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "review.db", create=True) as store:
        person, _ = store.add_person("ana")
        fill(store, n=2)
        with store.database.engine.connect() as connection:
            n_pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        store.database.engine.dispose()
        sa.event.listen(
            store.database.engine,
            "connect",
            lambda connection, _: connection.execute(f"PRAGMA max_page_count={n_pages}").close(),
        )
        head = store.head()
        with pytest.raises(StoreAwayError, match="the disk is full; nothing was written"):
            store.note(person.id, 1, "x" * 19_000, key="k")
        assert store.head() == head
        with store.read() as connection:
            assert verify(connection, store="", mac_key=store.mac_key).breaks == ()


def test_the_log_is_read_in_the_order_of_seq(store: Store) -> None:
    with store.read() as connection:
        assert list(connection.execute(sa.select(event.c.seq)).scalars()) == [1, 2, 3, 4]
