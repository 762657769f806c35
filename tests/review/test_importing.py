"""Scored files into a store: what becomes of each row, which tasks are made, and going on after a kill."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.review.scored import scored_rows, write_scored
from tests.review.small import key

from polyvigil.config.review import ReviewSpec
from polyvigil.errors import DataError, StoreAwayError
from polyvigil.review import importing
from polyvigil.review.engine import Database
from polyvigil.review.frames import audit_frame, rounds_of, sample_frame, union_inclusion
from polyvigil.review.importing import add_file
from polyvigil.review.schema import SECOND_FOR_ADE, TWO_REVIEWS, batch, post, scoring, task
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify

PLAIN = ReviewSpec(audit=0, double=0, blind_share=0)


def rows_of(store: Store, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    with store.read() as connection:
        return list(connection.execute(sa.select(table).order_by(table.c[0])))


def whole(store: Store) -> None:
    with store.read() as connection:
        assert verify(connection, store=store.id, mac_key=store.mac_key).breaks == ()


def test_a_scored_file_becomes_a_queue_and_an_audit(empty_store: Store, tmp_path: Path) -> None:
    rows = list(scored_rows(600))
    n_flagged = sum(row["decision"] for row in rows)
    result, notes = add_file(empty_store, write_scored(tmp_path / "scored.csv", rows), spec=ReviewSpec(audit=60))
    assert (result.rows, result.posts, result.queue, result.audit) == (600, 600, n_flagged, 60)
    assert (result.tasks, result.set_aside, result.was_there, result.bundle) == (
        n_flagged + 60,
        0,
        False,
        rows[0]["bundle"],
    )
    assert any("--evidence" in note for note in notes)
    tasks = rows_of(empty_store, task)
    assert {row.state for row in tasks} == {"open"}
    audit = [row for row in tasks if row.purpose == "audit"]
    assert {row.mode for row in audit} == {"blind"}
    assert {row.reviews for row in audit} <= {SECOND_FOR_ADE, TWO_REVIEWS}
    assert all(0 < row.inclusion_p <= 1 for row in audit)
    assert Counter(row.language for row in audit) == {"de": 20, "en": 20, "ja": 20}
    queue = [row for row in tasks if row.purpose == "queue"]
    assert {row.inclusion_p for row in queue} == {1.0}
    assert 0 < sum(row.mode == "blind" for row in queue) < len(queue) / 2
    assert {row.mode for row in tasks if row.reviews == TWO_REVIEWS} == {"blind"}
    assert result.double == sum(row.reviews == TWO_REVIEWS for row in tasks) > 0
    whole(empty_store)


def test_the_queue_begins_with_the_likeliest(empty_store: Store, tmp_path: Path) -> None:
    rows = list(scored_rows(100, flagged=0.5))
    add_file(empty_store, write_scored(tmp_path / "scored.csv", rows), spec=PLAIN)
    empty_store.add_person("ana")
    likeliest = sorted((row["p_calibrated"] for row in rows if row["decision"]), reverse=True)
    cards = empty_store.lease_next(1, n=10)
    assert [card.p_calibrated for card in cards] == pytest.approx(likeliest[:10])
    assert (cards[0].type, cards[0].mode, cards[0].decision) == ("tweet", "assisted", 1)


def test_the_same_file_again_changes_nothing(empty_store: Store, tmp_path: Path) -> None:
    path = write_scored(tmp_path / "scored.csv", scored_rows(50))
    add_file(empty_store, path)
    head = empty_store.head()
    again, notes = add_file(empty_store, path.rename(tmp_path / "renamed.csv"))
    assert (again.was_there, again.rows) == (True, 50)
    assert "in the store already" in notes[0]
    assert empty_store.head() == head


def test_a_text_is_read_once(empty_store: Store, tmp_path: Path) -> None:
    rows = [
        *scored_rows(3, text="the same", flagged=1.0, language="en"),
        *scored_rows(1, seed=1, text="the same", flagged=1.0, language="de"),
    ]
    result, _ = add_file(empty_store, write_scored(tmp_path / "scored.csv", rows), spec=PLAIN)
    assert (result.posts, result.copies, result.queue) == (4, 2, 2)
    later, _ = add_file(
        empty_store,
        write_scored(tmp_path / "later.csv", scored_rows(2, seed=2, text="the same", flagged=1.0, language="en")),
        spec=PLAIN,
    )
    assert (later.copies, later.tasks) == (2, 0)
    empty_store.add_person("ana")
    cards = empty_store.lease_next(1, n=9)
    assert {card.language: card.copies for card in cards} == {"en": 4, "de": 0}
    whole(empty_store)


def test_a_new_bundle_closes_what_it_no_longer_flags(empty_store: Store, tmp_path: Path) -> None:
    first = list(scored_rows(4, flagged=1.0))
    add_file(empty_store, write_scored(tmp_path / "old.csv", first), spec=PLAIN)
    empty_store.add_person("ana")
    empty_store.decide(1, 1, "ade", key=key())
    second = [row | {"bundle": "b" * 16, "decision": 0, "p": 0.1} for row in first]
    second[3] |= {"decision": 1}
    result, _ = add_file(empty_store, write_scored(tmp_path / "new.csv", second), spec=PLAIN)
    assert (result.posts, result.rescored, result.tasks, result.closed) == (0, 4, 0, 2)
    assert Counter(row.state for row in rows_of(empty_store, task)) == {"done": 1, "closed": 2, "open": 1}
    assert len(rows_of(empty_store, scoring)) == 8
    third = [row | {"bundle": "c" * 16} for row in first]
    again, _ = add_file(empty_store, write_scored(tmp_path / "third.csv", third), spec=PLAIN)
    assert again.queue == 2, "a third bundle flags what the second cleared"
    whole(empty_store)


def test_odd_texts_and_ids_are_kept_as_both_databases_can(empty_store: Store, tmp_path: Path) -> None:
    odd = "null \0 half \ud83d done"
    rows = [
        {**next(scored_rows(1, flagged=1.0)), "id": name, "text": text} for name, text in ((None, odd), ("=1+1", "x"))
    ]
    (tmp_path / "scored.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    add_file(empty_store, tmp_path / "scored.jsonl", spec=PLAIN)
    first, second = rows_of(empty_store, post)
    digest = hashlib.sha256((tmp_path / "scored.jsonl").read_bytes()).hexdigest()
    assert first.source_id == f"{digest[:12]}:row-1"
    assert first.text == "null \ufffd half \ufffd done"
    assert bytes(first.raw_text).decode("utf-8", "surrogatepass") == odd
    assert (second.source_id, second.text, second.raw_text) == ("=1+1", "x", None)


def test_ids_only_stores_no_text(empty_store: Store, tmp_path: Path) -> None:
    path = write_scored(tmp_path / "scored.csv", scored_rows(5, text="zebrafinch", flagged=1.0))
    add_file(empty_store, path, spec=PLAIN, keep_text=False)
    assert {(row.text, row.raw_text) for row in rows_of(empty_store, post)} == {(None, None)}
    empty_store.add_person("ana")
    assert empty_store.lease_next(1)[0].text is None


def test_protected_cells_are_as_they_were(empty_store: Store, tmp_path: Path) -> None:
    path = write_scored(tmp_path / "scored.csv", scored_rows(1, text="'=1+1 hurts", flags="cell_protected"))
    _, notes = add_file(empty_store, path, spec=PLAIN)
    assert rows_of(empty_store, post)[0].text == "=1+1 hurts"
    assert any("taken away again" in note for note in notes)


BAD = {
    "p": "1.5",
    "p_calibrated": "high",
    "threshold": "",
    "decision": "2",
    "bundle": "not one",
    "spread": "x",
    "evidence_start": "-1",
    "purpose": "fun",
}


def test_bad_rows_are_set_aside_without_their_text(empty_store: Store, tmp_path: Path) -> None:
    rows = [
        *({**row, "purpose": "", "evidence_start": "", "evidence_end": ""} for row in scored_rows(3)),
        *({**next(scored_rows(1, seed=9)), column: value, "text": "zebrafinch"} for column, value in BAD.items()),
        {**next(scored_rows(1, seed=8)), "bundle": "f" * 16},
    ]
    path = write_scored(tmp_path / "scored.csv", rows)
    result, notes = add_file(empty_store, path, spec=PLAIN)
    assert (result.posts, result.set_aside) == (3, len(BAD) + 1)
    message = notes[-1]
    assert "scored.csv:5" in message
    assert "zebrafinch" not in message
    with pytest.raises(DataError, match=r'other.csv:5: column "p": is not in \[0, 1\]'):
        add_file(empty_store, write_scored(tmp_path / "other.csv", [*rows, rows[0]]), spec=PLAIN, fail_at_bad_row=True)


def test_what_is_no_scored_file_is_refused(empty_store: Store, tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("id,text\n1,it hurts\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column p, threshold, decision, bundle"):
        add_file(empty_store, tmp_path / "posts.csv")
    with pytest.raises(DataError, match="no such file"):
        add_file(empty_store, tmp_path / "none.csv")
    with pytest.raises(DataError, match="no row of it can be used"):
        add_file(empty_store, write_scored(tmp_path / "bad.csv", scored_rows(2, p=7)))
    without = [{name: cell for name, cell in row.items() if name != "text"} for row in scored_rows(2, flagged=1.0)]
    path = write_scored(tmp_path / "ids.csv", without)
    with pytest.raises(DataError, match="no column for text"):
        add_file(empty_store, path)
    assert add_file(empty_store, path, spec=PLAIN, keep_text=False)[0].queue == 2


def test_a_file_that_was_changed_behind_its_manifest_is_refused(empty_store: Store, tmp_path: Path) -> None:
    path = write_scored(tmp_path / "scored.csv", scored_rows(5))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {"outputs": [{"path": "out/scored.csv", "posts": 5, "sha256": digest}]}
    Path(f"{path}.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(",0,", ",1,", 1), encoding="utf-8")
    with pytest.raises(DataError, match="was changed after it was scored"):
        add_file(empty_store, path)
    assert empty_store.head().seq == 0


def test_the_chance_of_each_audited_post_can_be_computed_again(empty_store: Store, tmp_path: Path) -> None:
    add_file(empty_store, write_scored(tmp_path / "scored.csv", scored_rows(400)), spec=ReviewSpec(audit=50))
    with empty_store.read() as connection:
        frame, rounds = audit_frame(connection, 1), rounds_of(connection)
    (one,) = rounds[1]
    sampled, inclusion = sample_frame(frame, one)
    stored = {row.post: row.inclusion_p for row in rows_of(empty_store, task) if row.purpose == "audit"}
    assert dict(zip(frame.posts[sampled].tolist(), inclusion[sampled].tolist(), strict=True)) == pytest.approx(stored)
    assert union_inclusion(frame, rounds[1]) == pytest.approx(inclusion)


def test_a_worklist_brings_its_purposes_and_chances(empty_store: Store, tmp_path: Path) -> None:
    rows = [
        *scored_rows(6, flagged=1.0, purpose="queue", inclusion_p=1),
        *scored_rows(4, seed=1, flagged=0.0, purpose="audit", inclusion_p=0.25),
    ]
    result, _ = add_file(empty_store, write_scored(tmp_path / "worklist.csv", rows))
    assert (result.queue, result.audit) == (6, 4)
    tasks = rows_of(empty_store, task)
    assert Counter((row.purpose, row.inclusion_p) for row in tasks) == {("queue", 1.0): 6, ("audit", 0.25): 4}
    whole(empty_store)


def test_one_import_at_a_time(empty_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyvigil.review.engine._LOCK_SECONDS", 0.0)
    path = write_scored(tmp_path / "scored.csv", scored_rows(5))
    with empty_store.database.import_lock(), pytest.raises(StoreAwayError, match="another import runs"):
        add_file(empty_store, path)
    add_file(empty_store, path)


def test_an_import_that_stops_anywhere_goes_on(
    empty_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at each of its transactions in turn, and run again: the store is as if it had never been stopped."""
    monkeypatch.setattr(importing, "_ROWS_BESIDE", 20)
    monkeypatch.setattr(importing, "_ROWS_ALONE", 20)
    monkeypatch.setattr(importing, "_PAUSE", 0.0)
    rows = list(scored_rows(200, flagged=0.2))
    path = write_scored(tmp_path / "scored.csv", rows)
    begin = type(empty_store.database).write
    left, stops = 0, 0

    class StoppedError(Exception):
        pass

    def stopping(database: Database) -> AbstractContextManager[sa.Connection]:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoppedError
        return begin(database)

    monkeypatch.setattr(Database, "write", stopping)
    while True:
        left = stops + 1
        try:
            result, _ = add_file(empty_store, path, spec=ReviewSpec(audit=20))
            break
        except StoppedError:
            stops += 1
    monkeypatch.undo()
    assert stops > 3
    assert result.posts == 200
    tasks = rows_of(empty_store, task)
    assert len(tasks) == sum(row["decision"] for row in rows) + 20 == len({row.post for row in tasks})
    assert {row.state for row in tasks} == {"open"}
    assert [row.state for row in rows_of(empty_store, batch)] == ["ready"]
    whole(empty_store)


def test_a_killed_command_goes_on_where_it_stopped(location: str, tmp_path: Path) -> None:
    path = write_scored(tmp_path / "scored.csv", scored_rows(9_000, flagged=0.02))
    open_store(location, create=True).close()
    script = (
        "import sys\nfrom polyvigil.review import importing\nfrom polyvigil.review.store import open_store\n"
        "importing._ROWS_ALONE = 300\n"
        "importing.add_file(open_store(sys.argv[1]), sys.argv[2])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, location, str(path)])
    with open_store(location) as store:
        deadline = time.monotonic() + 60
        while not (batches := rows_of(store, batch)) or batches[0].n_rows < 900:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        result, _ = add_file(store, path)
        assert 0 < result.resumed_at < 9_000
        assert (result.rows, result.posts) == (9_000, 9_000)
        assert store.task_counts()
        whole(store)
