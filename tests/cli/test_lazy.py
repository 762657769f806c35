"""The program imports the chosen command alone, and its table of commands says what each of them says of itself."""

from __future__ import annotations

import ast
import importlib
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import polyvigil.cli
from polyvigil.cli.command import registered_command
from polyvigil.cli.commands import COMMANDS, Entry, Group

ALL = {
    **{name: entry for name, entry in COMMANDS.items() if isinstance(entry, Entry)},
    **{
        f"{group} {name}": entry
        for group, inner in COMMANDS.items()
        if isinstance(inner, Group)
        for name, entry in inner.entries.items()
    },
}


@pytest.mark.parametrize("name", ALL)
def test_the_line_in_help_is_the_first_line_of_the_docstring(name: str) -> None:
    importlib.import_module(f"polyvigil.cli.{ALL[name].module}")
    assert registered_command(name).summary == ALL[name].summary


@pytest.mark.parametrize(
    ("arguments", "modules"),
    [
        (["--help"], set()),
        (["audit", "--help"], set()),
        (["recipes", "--help"], {"recipes"}),
        (["audit", "data", "--help"], {"check"}),
    ],
)
def test_only_the_chosen_command_is_imported(arguments: list[str], modules: set[str]) -> None:
    commands = {entry.module for entry in ALL.values()}
    check = (
        f"import sys\nfrom polyvigil.cli.main import run\nrun({arguments})\n"
        "print(*(name.rpartition('.')[2] for name in sys.modules if name.startswith('polyvigil.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()) & commands == modules


def test_help_takes_little_time() -> None:
    """0.1 s of CPU on a quiet machine, 0.4 s before commands were imported when they are chosen."""
    check = "import time\nfrom polyvigil.cli.main import run\nrun(['--help'])\nprint(time.process_time())"
    times = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
        times.append(float(done.stdout.splitlines()[-1]))
    assert statistics.median(times) < 0.5  # with room for a machine that is slow and busy


def test_no_function_of_a_command_is_long() -> None:
    long = [
        f"{path.name}: {node.name}"
        for path in Path(polyvigil.cli.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert not long
