"""The monitor on disk: nothing counts twice, nothing is lost by a kill, and no other file is touched."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.monitor.made import BUNDLE, counted, made_monitor, weekly_cells

from polyvigil.errors import DataError
from polyvigil.monitor.counts import CountedFile
from polyvigil.monitor.store import add_files, read_monitor

CELLS = weekly_cells(3, streams={("en", "forum"): 50})


def file(number: int, path: str = "", *, week: int = 0, bundle: str = BUNDLE) -> CountedFile:
    return CountedFile(path or f"{number}.csv", f"{number:064x}", bundle, (CELLS[week],), ())


def counting(path: Path) -> list[str]:
    return [entry.sha256[-2:] for entry in read_monitor(path).entries]


def test_what_was_added_is_read(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    result = add_files(path, [file(1), file(2, week=1)])
    assert read_monitor(path).entries == result.entries
    assert [entry.cells for entry in result.entries] == [(CELLS[0],), (CELLS[1],)]
    add_files(path, [file(3)])
    assert counting(path) == ["01", "02", "03"]
    assert path.read_text(encoding="utf-8").count("\n") == 3


def test_a_file_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    add_files(path, [file(1)])
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"other\.csv: was added already, as 1\.csv.*--replace") as error:
        add_files(path, [file(2), file(1, "other.csv", week=1)])
    assert error.value.where == "other.csv"
    with pytest.raises(DataError, match="was added already"):
        add_files(path, [file(7), file(7, "again.csv")])
    assert path.read_bytes() == before
    add_files(path, [file(1, "other.csv", week=1)], replace=True)
    assert counting(path) == ["01"]
    assert read_monitor(path).entries[0].weeks == {"2026-W02"}


def test_two_runs_that_add_the_same_file_at_once_count_it_once(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    add_files(path, [file(1)])
    path.write_bytes(path.read_bytes() * 2)
    assert counting(path) == ["01"]


def test_a_correction_replaces_the_file_of_its_name_and_week(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    add_files(path, [file(1, "scored.csv", week=0), file(2, "scored.csv", week=1)])
    assert "both count" in add_files(path, [file(3, "scored.csv", week=1)]).notes[0]
    assert counting(path) == ["01", "02", "03"]
    assert add_files(path, [file(3, "scored.csv", week=1)], replace=True).notes == ()
    assert counting(path) == ["01", "03"]


def test_a_new_bundle_is_said(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    assert add_files(path, [file(1)]).notes == ()
    assert f"bundle {'b' * 16} is new in this monitor" in add_files(path, [file(2, bundle="b" * 16)]).notes[0]
    assert add_files(path, [file(3, bundle="b" * 16)]).notes == ()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.sampled_from("ab"), st.booleans()), max_size=9))
def test_random_walks_follow_a_dictionary(tmp_path: Path, steps: list[tuple[int, int, str, bool]]) -> None:
    path = tmp_path / "monitor.jsonl"
    path.unlink(missing_ok=True)
    twin: dict[str, tuple[str, str]] = {}
    for number, week, name, replace in steps:
        one = file(number, name, week=week)
        if one.sha256 in twin and not replace:
            with pytest.raises(DataError):
                add_files(path, [one])
            continue
        add_files(path, [one], replace=replace)
        if replace:
            twin = {key: value for key, value in twin.items() if value != (name, CELLS[week].week)}
            twin.pop(one.sha256, None)
        twin[one.sha256] = (name, CELLS[week].week)
    entries = read_monitor(path, must_exist=False).entries
    assert {one.sha256: (one.file, *one.weeks) for one in entries} == twin


def test_every_kind_of_torn_end_counts_nothing_and_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    add_files(path, [file(1)])
    whole = path.read_bytes()
    second = whole.replace(b"1.csv", b"2.csv").replace(b'01"', b'02"')
    for at in (0, 1, 5, 11, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole + second[:at])
        assert counting(path) == ["01"], at
        add_files(path, [file(3)])
        assert counting(path) == ["01", "03"], at
        path.write_bytes(whole[:at])
        add_files(path, [file(3)])
        assert counting(path) == ["03"], at
        notes = read_monitor(path).notes
        assert bool(notes) == (at > 0), at
        assert all("add their files again" in note for note in notes)


def test_an_entry_that_lacks_its_line_break_alone_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    add_files(path, [file(1)])
    path.write_bytes(path.read_bytes()[:-1])
    assert counting(path) == []
    add_files(path, [file(1)])
    assert counting(path) == ["01"]


def test_a_killed_add_loses_nothing_that_it_reported(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        for number in range(1, 100_000):
            add_files(path, [file(number)])
            os.write(writing, b".")
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    time.sleep(0.2)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        reported = 1 + len(pipe.read())
    numbers = [int(entry.sha256, 16) for entry in read_monitor(path).entries]
    assert numbers == list(range(1, len(numbers) + 1))
    assert reported <= len(numbers) <= reported + 1
    add_files(path, [file(10**6)])
    assert len(read_monitor(path).entries) == len(numbers) + 1


@pytest.mark.parametrize(
    "content", [b"id,text\n1,hello\n", b"\x00\xff", b'{"monitors":1}\n', b"{}\n", b'{\n "monitor": 1}\n']
)
def test_another_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "posts.csv"
    path.write_bytes(content)
    for action in (lambda: read_monitor(path), lambda: add_files(path, [file(1)])):
        with pytest.raises(DataError, match="is no monitor, and is left as it is"):
            action()
    assert path.read_bytes() == content


def test_hostile_entries_are_named_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    add_files(path, [file(1)])
    good = json.loads(path.read_text(encoding="utf-8"))
    cell = good["cells"][0]
    wrong = [
        good | {"bundle": "../../etc"},
        good | {"sha256": "1"},
        good | {"cells": []},
        good | {"more": 1},
        good | {"cells": [cell | {"posts": -1}]},
        good | {"cells": [cell | {"scores": [1]}]},
        good | {"cells": [cell | {"flagged": cell["posts"] + 1}]},
        {"monitor": 1},
    ]
    for entry in wrong:
        path.write_text(json.dumps(good) + "\n" + json.dumps(entry) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"monitor\.jsonl:2: is no entry of a monitor"):
            read_monitor(path)
    path.write_text(json.dumps(good | {"monitor": 2}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="format 2, and this polyvigil knows 1"):
        read_monitor(path)
    with pytest.raises(DataError, match="there is no such monitor"):
        read_monitor(tmp_path / "absent")
    with pytest.raises(DataError, match="is a folder"):
        read_monitor(tmp_path)


def test_a_year_of_a_monitor_is_small_and_quick(tmp_path: Path) -> None:
    streams = {(language, source): 200 for language in ("de", "en", "fr", "ja", "ru") for source in ("forum", "tweet")}
    made_monitor(tmp_path / "monitor.jsonl", 52, streams=streams)
    assert (tmp_path / "monitor.jsonl").stat().st_size < 400_000
    started = time.process_time()
    assert len(read_monitor(tmp_path / "monitor.jsonl").entries) == 52
    assert time.process_time() - started < 1


def test_counted_files_differ_by_their_counts() -> None:
    assert counted(CELLS[:1]).sha256 != counted(CELLS[1:2]).sha256
