"""What one enormous cell costs: its row is set aside with a word, and little memory beyond that of an ordinary file."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyvigil.data.delimited import MAX_CELL
from polyvigil.data.read import MAX_CHARACTERS

Ran = Callable[..., tuple[int, str, str]]
MOST_MB = 300
WORDS = "the pill gave me a headache and my doctor said stop it now "
ENORMOUS = (WORDS * (15_000_000 // len(WORDS) + 1))[:15_000_000]
LINES = {
    "check": "check {}",
    "score": "score BUNDLE {} -o out.csv",
    "train": "train linear --train {} -o out",
    "evaluate": "evaluate BUNDLE {}",
    "explain": "explain BUNDLE {} -o out.jsonl",
}
_MEASURED = """
import resource, sys
from polyvigil.cli.main import run
code = run(sys.argv[1:])
print(f"\\n{code} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}")
"""


def _write(path: Path, text: str) -> Path:
    """40 labelled posts, one of which has this text."""
    rows = [
        {"id": str(n), "text": text if n == 5 else f"it hurts {n}", "label": n % 2, "language": "en"} for n in range(40)
    ]
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def peak(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str, str], float]]:
    """The most memory, in MB, that a command takes in a process of its own, on a file with such a text."""

    @cache
    def measure(command: str, ending: str, text: str) -> float:
        folder = tmp_path_factory.mktemp("peak")
        (folder / "BUNDLE").symlink_to(bundle_folder)
        name = _write(folder / f"posts{ending}", text).name
        line = [sys.executable, "-c", _MEASURED, *LINES[command].format(name).split(), "-q"]
        done = subprocess.run(line, cwd=folder, capture_output=True, check=True, text=True)
        code, kilobytes = done.stdout.splitlines()[-1].split()
        assert code == "0", done.stderr
        return int(kilobytes) / 1024

    return measure


@pytest.mark.parametrize(
    ("command", "ending"),
    [*((command, ".csv") for command in LINES), ("score", ".jsonl"), ("train", ".parquet"), ("evaluate", ".json")],
)
def test_a_cell_of_15_mb_costs_little_memory(peak: Callable[[str, str, str], float], command: str, ending: str) -> None:
    assert peak(command, ending, ENORMOUS) - peak(command, ".csv", "it hurts") < MOST_MB


@pytest.mark.parametrize("command", ["score", "explain"])
def test_the_longest_post_costs_little_memory(peak: Callable[[str, str, str], float], command: str) -> None:
    assert peak(command, ".csv", ENORMOUS[:MAX_CHARACTERS]) - peak(command, ".csv", "it hurts") < MOST_MB


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json", ".parquet"])
def test_a_cell_beyond_the_limit_is_told(ran: Ran, bundle_folder: Path, tmp_path: Path, ending: str) -> None:
    path = _write(tmp_path / f"posts{ending}", "x" * (MAX_CHARACTERS + 1))
    output = tmp_path / "out.jsonl"
    code, out, err = ran("score", bundle_folder, path, "-o", output, "--json")
    line = {".csv": 7, ".jsonl": 6, ".json": 32, ".parquet": 6}[ending]
    assert (code, json.loads(out)["data"]["posts"]) == (0, 39)
    assert (
        f'{path}:{line}: column "text": too many characters for a post (1,000,001; the most are 1,000,000); cut it '
        "into posts, or leave the row out; if a quote opens it by mistake: --quoting none"
    ) in err
    rejected = json.loads(Path(f"{output}.rejects.jsonl").read_text(encoding="utf-8"))
    assert len(rejected["row"]["text"]) == MAX_CHARACTERS + 1
    assert ran("score", bundle_folder, _write(path, "x" * MAX_CHARACTERS), "-o", tmp_path / "o.csv")[0] == 0


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        (".csv", 0, "a cell of over 16,777,216 characters, or a quote opens here and does not close; cut it"),
        (".jsonl", 2, "a line of over 33,554,432 characters"),
        (".json", 2, "or a value of over 33,554,432 characters"),
    ],
)
def test_a_cell_that_cannot_be_read_at_all_is_told(
    ran: Ran, bundle_folder: Path, tmp_path: Path, ending: str, code: int, message: str
) -> None:
    path = _write(
        tmp_path / f"posts{ending}", "it hurts, too. " * (MAX_CELL // 15 * (5 if ending == ".json" else 2) + 99)
    )
    got, _, err = ran("score", bundle_folder, path, "-o", tmp_path / "out.csv")
    assert (got, message in err) == (code, True), err
