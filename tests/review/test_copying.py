"""A store on another engine and a store that has forgotten its texts are whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.review.conftest import PostgreSQL
from tests.review.scored import letters, scored_rows, write_scored
from tests.review.small import Clock, key

from polyvigil.config.review import ReviewSpec
from polyvigil.errors import RecipeError, StoreError
from polyvigil.review.copying import copy_store
from polyvigil.review.importing import add_file
from polyvigil.review.notes import notes_of
from polyvigil.review.purging import days_of, purge
from polyvigil.review.schema import metadata, post, task
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify

ANA, BO, CY = 1, 2, 3
DAY = 86_400.0


@pytest.fixture
def used(store: Store, tmp_path: Path) -> Store:
    """A store with decisions, a conflict, a note, and odd texts."""
    rows = [row | {"text": f"half \ud83d {letters(n)} \0"} for n, row in enumerate(scored_rows(30, flagged=0.5))]
    add_file(store, write_scored(tmp_path / "scored.csv", rows), spec=ReviewSpec(audit=6))
    store.decide(ANA, 1, "ade", key=key())
    store.decide(ANA, 9, "ade", key=key())
    store.decide(BO, 9, "not", key=key())
    store.decide(ANA, 10, "ade", key=key())
    store.note(ANA, 1, "zebrafinch", key=key())
    return store


def rows_of(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
            if table.name not in ("lease", "session")
        }


def whole(store: Store, head: str = "") -> None:
    with store.read() as connection:
        assert verify(connection, store="", mac_key=store.mac_key, expected_head=head).breaks == ()


def test_a_copy_is_the_same_store(used: Store, location: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """To the other engine, and back to this one's file."""
    if "://" in location:
        other = str(tmp_path / "other.db")
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        other = server.empty_database("copied")
    with open_store(other, create=True) as target:
        result = copy_store(used, target)
    with open_store(other) as target:
        assert rows_of(target) == rows_of(used)
        assert (target.id, target.head()) == (used.id, used.head())
        whole(target, used.head().hash)
        target.decide(BO, 10, "ade", key=key())
        whole(target)
        with open_store(tmp_path / "back.db", create=True) as back:
            copy_store(target, back)
        with open_store(tmp_path / "back.db") as back:
            assert rows_of(back) == rows_of(target)
        with pytest.raises(StoreError, match="holds something already"):
            copy_store(used, target)
    assert result.head == used.head().hash
    assert result.rows["post"] == 42


@pytest.mark.parametrize(("age", "days"), [("180d", 180), ("7", 7), ("2w", 14), ("1y", 365)])
def test_ages(age: str, days: int) -> None:
    assert days_of(age) == days


def test_an_age_that_is_none() -> None:
    with pytest.raises(RecipeError, match="is no age"):
        days_of("soon")


def test_old_texts_are_forgotten_and_the_log_stays_whole(used: Store, clock: Clock) -> None:
    head = used.head().hash
    assert purge(used, days=1).posts == 0
    clock.now += 2 * DAY
    dry = purge(used, days=1, dry_run=True)
    assert (dry.dry_run, dry.kept, used.head().hash) == (True, 2, head)
    result = purge(used, days=1)
    assert (result.posts, result.notes, result.closed) == (dry.posts, 1, dry.closed)
    assert (result.posts, result.kept) == (40, 2)
    whole(used, head)
    with used.read() as connection:
        texts = connection.execute(sa.select(post.c.id, post.c.text, post.c.source_id)).all()
        states = {row.id: row.state for row in connection.execute(sa.select(task.c.id, task.c.state))}
        assert notes_of(connection, 1)[0][1] is None
    assert {row.id for row in texts if row.text is not None} == {9, 10}
    assert {row.source_id for row in texts if row.id not in (9, 10)} == {f"purged-{n}" for n in range(1, 43)} - {
        "purged-9",
        "purged-10",
    }
    assert (states[1], states[2], states[9], states[10]) == ("done", "closed", "conflict", "second")
    assert purge(used, days=1).posts == 0


def test_nothing_of_a_text_stays_in_the_file(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "review.db"
    with open_store(path, create=True, clock=clock) as store:
        rows = [
            row | {"text": f"zebrafinch {letters(n)}", "id": f"heron {n}"} for n, row in enumerate(scored_rows(200))
        ]
        add_file(store, write_scored(tmp_path / "scored.csv", rows))
        assert b"zebrafinch" in path.read_bytes() + Path(f"{path}-wal").read_bytes()
        clock.now += 2 * DAY
        purge(store, days=1)
        left = path.read_bytes() + Path(f"{path}-wal").read_bytes()
    assert b"zebrafinch" not in left
    assert b"heron" not in left
