"""An append-only log: whole lines only, whatever a kill tore, whoever else writes."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from polyvigil.data.append_log import append_entries, read_entries


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "log.jsonl"
    assert list(read_entries(path)) == []
    append_entries(path, [{"key": "a\nb"}, {"key": "\ud800"}])
    append_entries(path, [{"key": 3}])
    assert list(read_entries(path)) == [(1, {"key": "a\nb"}), (2, {"key": "\ud800"}), (3, {"key": 3})]


@pytest.mark.parametrize("kept", range(len('{"key": "second"}\n')))
def test_a_line_torn_at_any_byte_harms_no_other_line(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "log.jsonl"
    append_entries(path, [{"key": "first"}])
    with path.open("a") as stream:
        stream.write(json.dumps({"key": "second"})[:kept])
    assert [entry for _, entry in read_entries(path)] == [{"key": "first"}]
    append_entries(path, [{"key": "third"}])
    entries = [entry for _, entry in read_entries(path) if entry is not None]
    assert entries[0] == {"key": "first"}
    assert entries[-1] == {"key": "third"}


@pytest.mark.parametrize("line", [b"no json", b"[1]", b"\xff\xfe", b"[" * 100_000, b"{}x"])
def test_a_line_without_an_object_is_none(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"key": 1}\n\n' + line + b'\n{"key": 2}\n')
    assert list(read_entries(path)) == [(1, {"key": 1}), (3, None), (4, {"key": 2})]


def _append(path: Path, writer: int) -> None:
    for number in range(50):
        append_entries(path, [{"writer": writer, "number": number, "filling": "x" * 500}])


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(path, writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = [entry for _, entry in read_entries(path)]
    assert None not in entries
    assert sorted((entry["writer"], entry["number"]) for entry in entries if entry) == [
        (writer, number) for writer in range(3) for number in range(50)
    ]


def test_a_private_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_entries(path, [{"key": 1}], mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
