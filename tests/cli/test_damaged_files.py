"""A damaged file, or one of values beyond all bounds, gives an error or rows set aside, never a fault of the program.

``POLYVIGIL_NIGHTLY=1`` makes it 5,000 damaged files.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.damaged import damaged_file, whole_files

from polyvigil.data.formats import open_table
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost

Ran = Callable[..., tuple[int, str, str]]
N_BLOCKS, N_FILES = (50, 100) if os.environ.get("POLYVIGIL_NIGHTLY") else (4, 40)
DIGITS = "9" * 5000
DEEP = "[" * 3000 + "]" * 3000
LINES = (
    "check {}",
    "score bundle {} -o out.csv",
    "score bundle {} -o out.jsonl",
    "score bundle {} -o out.parquet",
    "evaluate bundle {}",
    "evaluate --predictions {} dev.csv",
    "explain bundle {} -o out.jsonl",
    "submit bundle {} -o out.zip",
    "augment translate {} -o out.csv --to fa --mapping arabic --max 3",
)
TRAIN = "train linear --train {} --dev dev.csv -o out --set decide.rule=fixed"


@pytest.fixture
def place(bundle_folder: Path, corpus: tuple[LabelledPost, ...], tmp_path: Path) -> Iterator[Path]:
    """A working folder with a bundle and dev posts."""
    (tmp_path / "bundle").symlink_to(bundle_folder)
    dev = [item for item in corpus if item.post.split == "dev" and item.post.language == "en"]
    write_posts(tmp_path / "dev.csv", dev[:80])
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def _run(ran: Ran, line: str, name: str) -> int:
    """The exit code of a command line on a file; nothing of what it wrote is left."""
    code, out, err = ran(*line.format(name).split(), "--json")
    assert "fault of the program" not in out, (line, name)
    assert "Traceback" not in err, (line, name)
    assert code in {0, 2, 3}, (line, name, out[:500])
    for left in (*Path().glob("out*"), *Path().glob("scored*")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return code


def test_the_files_to_be_damaged_are_whole(tmp_path: Path) -> None:
    for name, data in whole_files().items():
        (tmp_path / name).write_bytes(data)
        with open_table(tmp_path / name) as table:
            assert {"id", "text", "label", "language"} <= {*table.columns}, name
            assert len(list(table.rows)) in (12, 36), name


@pytest.mark.parametrize("block", range(N_BLOCKS))
def test_a_damaged_file_is_refused_or_read(ran: Ran, place: Path, block: int) -> None:
    codes = []
    for seed in range(block * N_FILES, (block + 1) * N_FILES):
        file, line = damaged_file(seed), random.Random(seed).choice(LINES)
        Path(file.name).write_bytes(file.data)
        codes.append(_run(ran, line, file.name))
        Path(file.name).unlink()
    assert 0 < codes.count(0) < len(codes) / 2


@pytest.mark.parametrize("column", ["id", "text", "label", "language", "likes"])
@pytest.mark.parametrize(
    "value", [DIGITS, f"1e{DIGITS}", DEEP, '"\\ud800"', '"\\u0000"', "[{}, {}]"], ids=lambda value: value[:6]
)
def test_values_beyond_all_bounds(ran: Ran, place: Path, column: str, value: str) -> None:
    good = [{"id": f"{n}", "text": f"it hurts {n}", "label": n % 2, "language": "en"} for n in range(8)]
    row = {"id": '"9"', "text": '"it hurts"', "label": "1", "language": '"en"'} | {column: value}
    odd = "{" + ", ".join(f'"{key}": {cell}' for key, cell in row.items()) + "}"
    Path("lines.jsonl").write_text("".join(json.dumps(item) + "\n" for item in good) + odd + "\n", encoding="utf-8")
    Path("array.json").write_text(json.dumps(good)[:-1] + f", {odd}]", encoding="utf-8")
    rows = [",".join(row), *(f"{n},it hurts {n},{n % 2},en" + ",1" * (column == "likes") for n in range(8))]
    text = ",".join(cell.strip('"') for cell in row.values())
    Path("cells.csv").write_text("\n".join([*rows, text]) + "\n", encoding="utf-8")
    chance = random.Random(column + value[:6])
    for name in ("lines.jsonl", "array.json", "cells.csv"):
        for line in chance.sample((*LINES, TRAIN), 2):
            _run(ran, line, name)


COLUMNS: dict[str, dict[str, Any]] = {
    "numbers of 70 digits": {"id": pa.array([Decimal(10) ** 70 + n for n in range(8)], pa.decimal256(76, 0))},
    "a day after all years": {"id": pa.array([2**30] * 8, pa.date32())},
    "times after all years": {"likes": pa.array([2**62] * 8, pa.timestamp("us", "No/Where"))},
    "infinite labels": {"label": pa.array([float("inf"), float("nan")] * 4)},
    "texts that are bytes": {"text": pa.array([b"\xff\xfe"] * 8), "id": pa.array([b"\xff%d" % n for n in range(8)])},
    "texts that are maps": {"text": pa.array([[("a", date.today().year)]] * 8, pa.map_(pa.string(), pa.int32()))},
    "no texts": {"text": pa.nulls(8)},
    "a NUL in a name": {"li\0kes": pa.array([1] * 8)},
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_of_parquet_beyond_all_bounds(ran: Ran, place: Path, case: str) -> None:
    whole = {
        "id": pa.array([f"{n}" for n in range(8)]),
        "text": pa.array([f"it hurts {n}" for n in range(8)]),
        "label": pa.array([n % 2 for n in range(8)]),
        "language": pa.array(["en"] * 8),
    }
    pq.write_table(pa.table(whole | COLUMNS[case]), "posts.parquet")
    for line in random.Random(case).sample((*LINES, TRAIN), 4):
        _run(ran, line, "posts.parquet")


def test_rows_with_half_a_character_are_set_aside(ran: Ran, place: Path) -> None:
    lines = ['{"id": "1", "text": "it hurts", "language": "en"}', '{"id": "\\ud800", "text": "it hurts"}']
    lines += ['{"id": "3", "text": "it hurts", "\\ud83d": 1}']
    Path("posts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    code, _, err = ran("score", "bundle", "posts.jsonl", "-o", "out.jsonl")
    assert code == 0, err
    rejects = [json.loads(line) for line in Path("out.jsonl.rejects.jsonl").read_text("utf-8").splitlines()]
    assert [(item["line"], item["column"], item["reason"]) for item in rejects] == [
        (2, "id", "is no Unicode text: half of a character stands in it"),
        (3, "", "a key that is no Unicode text"),
    ]


def test_bytes_of_another_encoding_are_told_in_headers_and_arrays(ran: Ran, place: Path) -> None:
    Path("posts.csv").write_bytes("text,größe,label\n".encode() * 9 + b"")
    data = "ä".encode() * 99 + b"\n" + b"it hurts,1,1\n" * 9
    Path("posts.csv").write_bytes(b"text,gr\xf6\xdfe" + data)
    code, _, err = ran("score", "bundle", "posts.csv", "-o", "out.csv", "--encoding", "utf-8")
    assert (code, "posts.csv:1: the header is not UTF-8 (byte 0xF6)" in err) == (2, True), err
    rows = '[{"text": "it hurts", "language": "en"}, {"text": "m\udcfcde", "language": "de"}]'
    Path("posts.json").write_bytes(rows.encode("utf-8", "surrogateescape"))
    code, _, err = ran("score", "bundle", "posts.json", "-o", "out.csv", "--encoding", "utf-8")
    assert (code, 'column "line": not UTF-8 (byte 0xFC)' in err) == (0, True), err


@pytest.mark.parametrize(
    "text",
    [
        "[" + ".".join("a" * 5000) + "]\nx = 1",
        ".".join("a" * 5000) + " = 1",
        "seed = 0x" + "f" * 5000,
        f"model.C = 1e{DIGITS}",
        "model.C = nan",
        "x = " + "{a = " * 5000 + "1" + "}" * 5000,
        f"[data]\nlabels = {{yes = {DIGITS}}}",
    ],
    ids=lambda text: text[:12],
)
def test_a_recipe_beyond_all_bounds_is_refused(ran: Ran, place: Path, text: str) -> None:
    Path("recipe.toml").write_text(text + "\n", encoding="utf-8")
    code, out, _ = ran("train", "recipe.toml", "--train", "dev.csv", "-o", "out", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (2, "recipe")
    key, _, value = text.partition(" = ")
    if "\n" not in text and key != "x":
        code, out, _ = ran("train", "linear", "--train", "dev.csv", "-o", "out", "--json", "--set", f"{key}={value}")
        assert (code, json.loads(out)["error"]["code"]) == (2, "recipe")


@pytest.mark.parametrize("option", ["--weights", "--budget", "--ask-at-most", "--cascade", "--part-posts", "--margin"])
@pytest.mark.parametrize("value", [DIGITS, f"1e{DIGITS}", "nan", "inf", "-inf"], ids=lambda value: value[:6])
def test_numbers_of_options_beyond_all_bounds(ran: Ran, place: Path, option: str, value: str) -> None:
    line = {
        "--weights": "ensemble bundle bundle -o out",
        "--budget": "report bundle -o out",
        "--ask-at-most": "judge bundle --with bundle --dev dev.csv -o out",
        "--cascade": "tune bundle -o out",
        "--part-posts": "score bundle dev.csv -o out.csv",
        "--margin": "compare bundle bundle dev.csv -o out.json",
    }[option]
    code, out, err = ran(*line.split(), option, value, "--json")
    assert code in {2, 4}, (out, err)
    assert "fault of the program" not in out
