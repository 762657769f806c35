"""Files out of a store and back: what each row says, masking, the foreign formats, labels that come home."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.review.scored import letters, scored_rows, write_scored
from tests.review.small import decide_all, key

from polyvigil.cli import main as program
from polyvigil.config.review import ReviewSpec
from polyvigil.data.read import read_labelled
from polyvigil.data.selection import is_held_out
from polyvigil.errors import DataError, RecipeError, ReviewError
from polyvigil.review.annotation_formats import FORMATS, Annotator, annotators
from polyvigil.review.exporting import ExportOptions, export
from polyvigil.review.importing import add_file
from polyvigil.review.labels_in import import_labels
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify

ANA, BO, CY = 1, 2, 3
WRITTEN = "@zebrafinch wrote =1+1 on 2026-01-02, see https://example.org/x"


@pytest.fixture
def read(empty_store: Store, tmp_path: Path) -> Store:
    """A store whose posts are all read but two: three people, agreements, a conflict, an audit."""
    for name, role in (("ana", "reviewer"), ("bo", "reviewer"), ("cy", "lead")):
        empty_store.add_person(name, role=role)  # type: ignore[arg-type]
    rows = [row | {"text": f"{WRITTEN} no {letters(n)}"} for n, row in enumerate(scored_rows(40, flagged=0.4))]
    add_file(empty_store, write_scored(tmp_path / "scored.csv", rows), spec=ReviewSpec(audit=9, double=0.3))
    decide_all(empty_store, (ANA, BO), lambda card, person: "ade" if (card.task + person) % 3 else "not")
    conflicts = empty_store.conflicts(CY)
    assert conflicts
    empty_store.adjudicate(CY, conflicts[0].task, "ade", reason="he says so", key=key())
    return empty_store


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_row_says_how_it_was_chosen(read: Store, tmp_path: Path) -> None:
    before = read.head()
    result = export(read, tmp_path / "reviewed.csv", ExportOptions())
    rows = cells(tmp_path / "reviewed.csv")
    assert len(rows) == result.rows > 10
    assert {row["provenance"] for row in rows} == {"reviewed"}
    for row in rows:
        never_trains = row["purpose"] == "audit" or is_held_out(row["text"])
        assert row["split"] == ("test" if never_trains else "train")
    assert result.audit_rows == sum(row["purpose"] == "audit" for row in rows) > 0
    assert all(0 < float(row["inclusion_p"]) <= 1 for row in rows)
    assert {row["label"] for row in rows} == {"0", "1"}
    assert {row["agreed"] for row in rows if row["reviewers"] == "1"} == {""}
    assert {row["agreed"] for row in rows if row["reviewers"] == "2"} == {"0", "1"}
    assert (result.head, result.head_seq) == (before.hash, before.seq)
    manifest = json.loads((tmp_path / "reviewed.csv.manifest.json").read_text(encoding="utf-8"))
    assert manifest == json.loads(result.model_dump_json())
    (event,) = read.newest_events(limit=1)
    assert (event.kind, event.fields()["sha256"]) == ("export", result.sha256)
    with read.read() as connection:
        whole = verify(connection, store="", mac_key=read.mac_key, expected_head=result.head)
    assert whole.breaks == ()


def test_texts_are_masked_unless_raw(read: Store, tmp_path: Path) -> None:
    export(read, tmp_path / "masked.csv", ExportOptions())
    assert "zebrafinch" not in (tmp_path / "masked.csv").read_text(encoding="utf-8")
    export(read, tmp_path / "raw.csv", ExportOptions(text="whole"))
    assert {row["text"].partition(" no ")[0] for row in cells(tmp_path / "raw.csv")} == {"'" + WRITTEN}
    reading = read_labelled(tmp_path / "raw.csv")
    assert {item.post.text.partition(" no ")[0] for item in reading.posts} == {WRITTEN}


def test_texts_can_be_left_out_of_tables(read: Store, tmp_path: Path) -> None:
    """All other columns stay; tools that show a text to people get none without it."""
    export(read, tmp_path / "masked.parquet", ExportOptions())
    result = export(read, tmp_path / "dropped.parquet", ExportOptions(text="dropped"))
    assert (result.has_text, result.masked) == (False, False)
    expected = pq.read_table(tmp_path / "masked.parquet").drop_columns(["text"])
    assert pq.read_table(tmp_path / "dropped.parquet").equals(expected)
    (event,) = read.newest_events(limit=1)
    assert (event.fields()["has_text"], event.fields()["masked"]) == (False, False)
    with read.read() as connection:
        assert verify(connection, store="", mac_key=read.mac_key).breaks == ()
    export(read, tmp_path / "dropped.csv", ExportOptions(text="dropped"))
    assert "text" not in cells(tmp_path / "dropped.csv")[0]
    with pytest.raises(DataError, match="text"):
        read_labelled(tmp_path / "dropped.csv")
    for kind in FORMATS:
        with pytest.raises(RecipeError, match=f"{kind} shows texts to people"):
            export(read, tmp_path / "tasks.json", ExportOptions(format=kind, text="dropped"))


def test_every_table_holds_the_same_rows(read: Store, tmp_path: Path) -> None:
    export(read, tmp_path / "a.parquet", ExportOptions())
    export(read, tmp_path / "a.jsonl", ExportOptions())
    export(read, tmp_path / "a.csv.gz", ExportOptions())
    parquet = pq.read_table(tmp_path / "a.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert parquet == lines
    assert len(read_labelled(tmp_path / "a.csv.gz").posts) == len(lines)


def test_each_decision_is_a_row_of_its_own(read: Store, tmp_path: Path) -> None:
    result = export(read, tmp_path / "all.parquet", ExportOptions(labels="all"))
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    events = [event for event in read.newest_events(limit=1000) if event.kind == "decide"]
    assert {(row["seq"], row["task"], row["reviewer"], row["verdict"]) for row in rows} == {
        (event.seq, event.task, event.reviewer, event.fields()["verdict"]) for event in events
    }
    assert result.rows == len(events)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_labels_come_home_from_every_tool(kind: str, read: Store, tmp_path: Path) -> None:
    """Exported with labels, read by this project's own reader of the format, and matched to the tasks."""
    path = tmp_path / ("labelled.json" if kind == "label-studio" else "labelled.jsonl")
    export(read, path, ExportOptions(format=kind))
    labels = {row["task"]: row["label"] for row in _jsonl(read, tmp_path)}
    reading = read_labelled(path)
    assert [item.label for item in reading.posts] == list(labels.values())
    taken = {number: read.undo(person, key=key(), seq=seq) for number, person, seq in _single(read)}
    read.release(ANA)
    result, _ = import_labels(read, path, name="bo")
    assert (result.rows, result.unknown, result.decided) == (len(labels), 0, len(taken))
    again, _ = import_labels(read, path, name="bo")
    assert (again.decided, again.again) == (0, len(taken))
    after = {row["task"]: row["label"] for row in _jsonl(read, tmp_path)}
    assert after == labels


def test_who_labelled_and_how_long_goes_through_label_studio(tmp_path: Path) -> None:
    """Two stores of the same posts: the second gets the first one's decisions, each as its person's, in their time."""
    posts = write_scored(tmp_path / "scored.csv", scored_rows(30, flagged=0.5))
    stores = []
    for name in ("first", "second"):
        one = open_store(tmp_path / f"{name}.db", create=True)
        for person, role in (("ana@example.org", "reviewer"), ("bo@example.org", "reviewer"), ("cy", "lead")):
            one.add_person(person, role=role)  # type: ignore[arg-type]
        add_file(one, posts, spec=ReviewSpec(audit=5, double=0.4))
        stores.append(one)
    first, second = stores
    for person in (ANA, BO):
        while cards := first.lease_next(person):
            verdict = "ade" if cards[0].task % 2 else "not"
            first.decide(person, cards[0].task, verdict, key=key(), seconds=cards[0].task + person / 4)
    export(first, tmp_path / "tasks.json", ExportOptions(format="label-studio", text="whole"))
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    annotations = [annotation for one in tasks for annotation in one["annotations"]]
    assert {one["completed_by"]["email"] for one in annotations} == {"ana@example.org", "bo@example.org"}
    assert max(len(one["annotations"]) for one in tasks) == 2
    result, _ = import_labels(second, tmp_path / "tasks.json", name="cy")
    assert result.rows == len(tasks) < result.decided == len(annotations)
    assert _decided(second) == _decided(first)
    for annotation in annotations:
        annotation["completed_by"] = 17
    (tmp_path / "by-number.json").write_text(json.dumps(tasks), encoding="utf-8")
    third = open_store(tmp_path / "third.db", create=True)
    third.add_person("cy", role="lead")
    add_file(third, posts, spec=ReviewSpec(audit=5, double=0))
    import_labels(third, tmp_path / "by-number.json", name="cy")
    assert {(task, 1) for task, *_ in _decided(third)} == {(task, person) for task, person, *_ in _decided(third)}
    for one in (*stores, third):
        one.close()


def _decided(store: Store) -> set[tuple[int | None, int, str, str]]:
    events = [event for event in store.newest_events(limit=1000) if event.kind == "decide"]
    bodies = [(event, event.fields()) for event in events]
    return {(event.task, event.reviewer, body["verdict"], body["seconds"]) for event, body in bodies}


@pytest.mark.parametrize("time", ["1.5", True, float("nan"), -1, None])
def test_a_time_that_is_none_is_left_out(time: object) -> None:
    cells = {"annotations": [{"lead_time": time, "completed_by": [3]}, {"was_cancelled": True}, "x"]}
    assert annotators(cells) == [Annotator("", None)]
    assert annotators({"annotations": "x"}) == annotators({}) == []


def _jsonl(store: Store, folder: Path) -> list[dict[str, object]]:
    path = folder / "labels.jsonl"
    export(store, path, ExportOptions(), replace=True)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _single(store: Store) -> list[tuple[int, int, int]]:
    """Some of ana's decisions that nobody else's stands on: task, person, seq."""
    decided = [event for event in store.newest_events(limit=1000) if event.kind == "decide"]
    by_task: dict[int, list[tuple[int, int, int]]] = {}
    for event in decided:
        by_task.setdefault(event.task or 0, []).append((event.task or 0, event.reviewer, event.seq))
    done = {card for one in store.conflicts(CY) for card in [one.task]}
    alone = [made[0] for number, made in by_task.items() if len(made) == 1 and number not in done]
    return [one for one in alone if one[1] == ANA and store.card(one[0], reviewer=ANA).purpose == "queue"][:3]


def test_blind_posts_go_out_without_what_the_model_says(read: Store, tmp_path: Path) -> None:
    export(read, tmp_path / "tasks.json", ExportOptions(format="label-studio"))
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    blind = [task for task in tasks if task["data"]["mode"] == "blind"]
    assert blind
    assert {(len(task["predictions"]), "purpose" in task["data"]) for task in blind} == {(0, False)}
    assert {len(task["predictions"]) for task in tasks if task["data"]["mode"] != "blind"} == {1}
    assert "<Choices" in (tmp_path / "tasks.label-config.xml").read_text(encoding="utf-8")


def test_what_waits_can_go_to_another_tool(store: Store, tmp_path: Path) -> None:
    store.decide(ANA, 1, "ade", key=key())
    result = export(store, tmp_path / "tasks.jsonl", ExportOptions(format="prodigy", labels="none", text="whole"))
    lines = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (result.rows, len(lines)) == (11, 11)
    for line in lines:
        line |= {"answer": "accept"}
    (tmp_path / "done.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    made, _ = import_labels(store, tmp_path / "done.jsonl", name="bo")
    assert (made.decided, made.unknown, made.not_due) == (11, 0, 0)
    assert store.newest_events(limit=1)[0].kind == "import"
    with store.read() as connection:
        assert verify(connection, store="", mac_key=store.mac_key).breaks == ()


def test_labels_are_matched_by_text_or_id(store: Store, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "id,text,label\nx,post number 1,1\ns2,another text,0\nz,unknown,1\n", encoding="utf-8"
    )
    result, _ = import_labels(store, tmp_path / "labels.csv", name="ana")
    assert (result.decided, result.unknown) == (2, 1)
    with pytest.raises(ReviewError, match="no person of this name"):
        import_labels(store, tmp_path / "labels.csv", name="nobody")


def test_what_cannot_be_written_is_refused(read: Store, tmp_path: Path) -> None:
    for options, name in (
        (ExportOptions(format="xml"), "a.xml"),
        (ExportOptions(labels="some"), "a.csv"),  # type: ignore[arg-type]
        (ExportOptions(format="prodigy", labels="all"), "a.jsonl"),
    ):
        with pytest.raises(RecipeError):
            export(read, tmp_path / name, options)
    with pytest.raises(DataError, match="nothing to write"):
        export(read, tmp_path / "a.csv", ExportOptions(language="fa"))
    export(read, tmp_path / "a.csv", ExportOptions())
    with pytest.raises(DataError, match="stands there already"):
        export(read, tmp_path / "a.csv", ExportOptions())
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.csv", "a.csv.manifest.json"]


def test_a_worklist_read_in_a_store_is_estimated_as_one_that_was_filled_in(tmp_path: Path) -> None:
    """worklist -> store -> two readers -> export -> estimate, all by the program."""
    words = ("".join(chr(97 + n // 26**power % 26) for power in range(3)) * 9 for n in itertools.count())
    rows = [row | {"text": word} for row, word in zip(scored_rows(400, flagged=0.1), words, strict=False)]
    scored = write_scored(tmp_path / "scored.csv", rows)
    listed, path, out = tmp_path / "worklist.csv", tmp_path / "review.db", tmp_path / "reviewed.csv"
    assert program.run(["worklist", str(scored), "-o", str(listed), "--budget", "150", "-q"]) == 0
    assert program.run(["review", "add", str(path), str(listed), "-q"]) == 0
    with open_store(path) as store:
        for name in ("ana", "bo"):
            store.add_person(name)
        decide_all(store, (ANA, BO), lambda card, _: "ade" if card.post % 4 == 0 else "not")
    assert program.run(["review", "export", str(path), "-o", str(out), "-q"]) == 0
    reviewed = cells(out)
    assert len(reviewed) == 150
    assert {row["label_2"] for row in reviewed if row["reviewers"] == "2"} <= {"0", "1"}
    assert program.run(["estimate", str(scored), "--reviewed", str(out), "--json"]) == 0
