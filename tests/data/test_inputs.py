"""Files, folders and globs: the right ones, in a fixed order, and never our own outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvigil.data.inputs import Input, find_inputs
from polyvigil.errors import DataError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\n")


def _names(tmp_path: Path, *sources: str, output: str = "") -> list[str]:
    found = find_inputs([str(tmp_path / s) for s in sources], output=[tmp_path / output] if output else [])
    return [Path(file.path).relative_to(tmp_path).as_posix() for file in found.files]


def test_a_folder_is_searched_for_files_of_posts(tmp_path: Path) -> None:
    _touch(tmp_path, "b.csv", "a.jsonl.gz", "sub/c.PARQUET", "notes.txt")
    _touch(tmp_path, "_SUCCESS.csv", ".hidden.csv", "_temporary/d.csv")
    assert _names(tmp_path, ".") == ["a.jsonl.gz", "b.csv", "sub/c.PARQUET"]
    assert _names(tmp_path, "b.csv", ".") == ["b.csv", "a.jsonl.gz", "sub/c.PARQUET"]
    assert find_inputs([str(tmp_path), str(tmp_path / "b.csv")]).notes[-1] == (
        "1 files were named twice and are read once"
    )
    assert _names(tmp_path, "_SUCCESS.csv") == ["_SUCCESS.csv"]  # whoever names a file means it


def test_globs_are_expanded_folders_among_them(tmp_path: Path) -> None:
    _touch(tmp_path, "x-2.csv", "x-1.csv", "y.csv", "x-3/z.csv", "x-4.txt", "deep/er/x.csv", "od[d].csv")
    assert _names(tmp_path, "x-*") == ["x-1.csv", "x-2.csv", "x-3/z.csv"]
    assert _names(tmp_path, "**/x*.csv") == ["deep/er/x.csv", "x-1.csv", "x-2.csv"]
    assert _names(tmp_path, "od[d].csv") == ["od[d].csv"]  # there is a file of that very name


def test_keys_of_folders(tmp_path: Path) -> None:
    _touch(tmp_path, "day=2026-01-01/language=de/a.csv", "language=__HIVE_DEFAULT_PARTITION__/b.csv", "k=a%2Fb/c.csv")
    found = find_inputs([str(tmp_path)]).files
    assert [file.partition for file in found] == [
        (("day", "2026-01-01"), ("language", "de")),
        (("k", "a/b"),),
        (("language", ""),),
    ]


def test_outputs_and_empty_files_are_skipped_with_a_note(tmp_path: Path) -> None:
    _touch(tmp_path, "a.csv", "new.csv", "old.csv", "old.csv.manifest.json", "x.rejects.jsonl")
    _touch(tmp_path, "older/part-0.csv", "older/_manifest.json")
    (tmp_path / "old.csv.rejects.jsonl").write_text(
        '{"file": "i.csv", "line": 2, "column": "", "reason": "no", "row": {}}\n'
    )
    (tmp_path / "nothing.csv").touch()
    assert _names(tmp_path, ".", output="new.csv") == ["a.csv", "x.rejects.jsonl"]
    assert set(find_inputs([str(tmp_path)], output=[tmp_path / "new.csv"]).notes) == {
        "left out: 1 empty",
        "left out: 1 at the place of the output",
        "left out: 4 from earlier runs of polyvigil",
    }
    assert _names(tmp_path, "old.csv", "older") == ["old.csv", "older/part-0.csv"]  # named, so meant


def test_standard_input_stands_alone() -> None:
    assert find_inputs(["-"]).files == (Input("-"),)
    with pytest.raises(DataError, match="standard input stands alone"):
        find_inputs(["-", "a.csv"])


def test_missing_sources_are_named(tmp_path: Path) -> None:
    _touch(tmp_path, "empty/x.txt", "hidden/_x.csv")
    for source, message in (
        ("nope-*.csv", "no such file"),
        ("empty", "no file of posts there"),
        ("hidden", r"left out: 1 hidden \(. or _ before the name\)"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            find_inputs([str(tmp_path / source)])
        assert str(tmp_path / source) in str(caught.value)
