"""The code in README and docs: ``sh`` and ``python`` run as printed, of ``bash`` and ``py`` all options exist.

A piece of code says what it is: ``sh`` is a row of commands, ``python`` a program, and both run here, in the order of
the page, in a folder with the files that the documentation names (conftest.sample_files). ``bash`` and ``py`` need what
is not there (a GPU, a model of the hub, a server), or are a choice of commands: commands, options and syntax are looked
at. ``toml`` and ``json`` are parsed. ``text`` is output.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.website.conftest import Block, blocks, documents, name

from polyvigil.cli.command import build_command, registered_command
from polyvigil.cli.commands import COMMANDS, Entry, Group
from polyvigil.cli.main import run
from polyvigil.cli.options import GATE

RUN, SHOWN, DATA = ("sh", "python"), ("bash", "py"), ("toml", "yaml", "json")
PAGES = documents()
RUNNING = [path for path in PAGES if any(block.language in RUN for block in blocks(path))]
_MAY_SAY_NO = ("audit", "export")
_INLINE = re.compile(r"`(polyvigil [^`]+)`")
_OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z][\w-]*)")


def commands(block: Block) -> list[str]:
    """The command lines of a piece of code: comments and empty lines left out, a line that goes on with its next."""
    joined = block.text.replace("\\\n", " ")
    return [line.strip() for line in joined.split("\n") if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_piece_of_code_says_what_it_is(path: Path) -> None:
    known = {*RUN, *SHOWN, *DATA, "text"}
    assert [f"{block.where}: {block.language!r}" for block in blocks(path) if block.language not in known] == []


@pytest.mark.parametrize("path", RUNNING, ids=name)
def test_code_runs_as_printed(
    path: Path,
    sample_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(sample_files, folder)
    running = [block for block in blocks(path) if block.language in RUN]
    code = "".join(block.text for block in running)
    if "polyvigil demo" not in code:
        shutil.copytree(folder / "bundle", folder / "demo" / "bundle")
    if re.search(r"-o bundle\b|, \"bundle\"\)", code):
        shutil.rmtree(folder / "bundle")  # the page makes it
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in running:
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), names)
            continue
        for line in commands(block):
            code = _run(line)
            said = capsys.readouterr()
            no = shlex.split(line, comments=True)[1:2]
            assert code == 0 or (code == GATE and no and no[0] in _MAY_SAY_NO), f"{block.where}: {line}\n{said.err}"


def _run(line: str) -> int:
    """Run a command line: the program in this process, anything else by a shell."""
    words = shlex.split(line, comments=True)
    if words[0] == "polyvigil":
        return run(words[1:])
    return subprocess.run(["bash", "-c", line], check=False).returncode


@cache
def options_of(command: str) -> frozenset[str]:
    """The options of a command, by its full name; empty for a name that is none."""
    first, _, second = command.partition(" ")
    entry = COMMANDS.get(first)
    entry = entry.entries.get(second) if isinstance(entry, Group) else entry
    if not isinstance(entry, Entry):
        return frozenset()
    importlib.import_module(f"polyvigil.cli.{entry.module}")
    command_of = build_command(registered_command(command))
    spelled = {one for parameter in command_of.params for one in (*parameter.opts, *parameter.secondary_opts)}
    return frozenset({*spelled, "--help", "-h"})


def wrong_words(line: str) -> list[str]:
    """Commands and options of a command line that there are not. It may hold ``...``, names in capitals, brackets."""
    line = re.sub(r"^.*?(?=polyvigil )", "", line.partition(" # ")[0].partition("  #")[0])
    line = re.split(r" [|&>]|; ", line)[0]
    words = line.replace("[", " ").replace("]", " ").split()
    given = words[1:]
    if not given or given[0].startswith("-") or given[0].isupper() or given[0] in ("...", "TOPIC"):
        return []
    group = COMMANDS.get(given[0])
    if isinstance(group, Group) and (len(given) == 1 or given[1].isupper()):
        return []
    full = " ".join(given[:2]) if isinstance(group, Group) else given[0]
    known = options_of(full)
    if not known:
        return [full]
    return [one for one in _OPTION.findall(" ".join(words)) if one not in known and not one[1:2].isdigit()]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_and_options_exist(path: Path) -> None:
    lines = [(block.where, line) for block in blocks(path) if block.language not in DATA for line in commands(block)]
    found = [(where, line) for where, line in lines if re.match(r"(\S+ )*(-m )?polyvigil ", line)]
    prose = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found += [(name(path), " ".join(match.split())) for match in _INLINE.findall(prose)]
    assert [f"{where}: {line}: {wrong}" for where, line in found if (wrong := wrong_words(line))] == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_code_that_is_shown_can_be_read(path: Path) -> None:
    for block in blocks(path):
        if block.language == "py":
            ast.parse(block.text, block.where)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)


def test_words_that_there_are_not_are_found() -> None:
    assert wrong_words("polyvigil score BUNDLE posts.csv -o x.csv --raw-csv  # --nothing") == []
    assert wrong_words("torchrun -m polyvigil train quick --dev-file x") == ["--dev-file"]
    assert wrong_words("for day in *.csv; do polyvigil score BUNDLE $day -o x --replace; done") == []
    assert wrong_words("polyvigil scores BUNDLE") == ["scores"]
    assert wrong_words("polyvigil review adds x.db") == ["review adds"]
