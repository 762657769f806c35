"""Odd surroundings give a message and an exit code, never a fault of the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from polyvigil.errors import name_list

FAULT = b"fault of the program"


def _shell(command: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    line = command.replace("polyvigil", f"{sys.executable} -m polyvigil", 1)
    return subprocess.run(["bash", "-c", line], cwd=cwd, capture_output=True, check=False, timeout=60)


@pytest.fixture
def place(bundle_folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "b").symlink_to(bundle_folder)
    (tmp_path / "i.csv").write_text("id,text,language\n1,the pills hurt,en\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("polyvigil score b i.csv -o o.csv 2>&-", 0),
        ("polyvigil score b i.csv -o o.csv <&-", 0),
        ("polyvigil score b i.csv -o o.csv >&- 2>&- <&-", 0),
        ("polyvigil score b missing.csv -o o.csv 2>&-", 2),
        ("polyvigil score b - -o o.csv <&-", 2),
        ("polyvigil score b <(cat i.csv) -o o.csv", 2),
        ("polyvigil score b /dev/stdin -o o.csv < i.csv", 0),
        ("mkfifo p.csv; exec polyvigil score b p.csv -o o.csv", 2),
        (r"cp i.csv $'\xff.csv'; polyvigil score b $'\xff.csv' -o o.csv", 2),
        ("polyvigil train linear --train i.csv -o t --set data.dev_share=" + "9" * 5000, 2),
    ],
)
def test_closed_streams_pipes_and_names(place: Path, command: str, code: int) -> None:
    done = _shell(command, place)
    assert FAULT not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize("text", ["x = " + "[" * 5000 + "]" * 5000, "seed = " + "9" * 5000])
def test_a_recipe_too_deep_or_too_long_is_refused(place: Path, text: str) -> None:
    (place / "r.toml").write_text(text, encoding="utf-8")
    done = _shell("polyvigil train r.toml --train i.csv -o t", place)
    assert (done.returncode, FAULT in done.stderr) == (2, False), done.stderr


def test_a_file_name_does_not_speak_to_the_terminal(place: Path) -> None:
    name = "\x1b[31mred\u202e.csv"
    done = _shell("polyvigil score b $NAME -o o.csv".replace("$NAME", f"'{name}'"), place)
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert b"\\x1b[31mred\\u202e.csv" in done.stderr
    assert not os.path.lexists(place / "o.csv")


def test_a_warning_names_a_few_of_many() -> None:
    names = [f"l{number}" for number in range(2560)]
    assert name_list(names) == "l0, l1, l2, l3, l4, l5, l6, l7 and 2,552 more"
    assert name_list(names[:2]) == "l0, l1"
