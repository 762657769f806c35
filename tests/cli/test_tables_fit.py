"""Every table fits a terminal of 80 columns, and a caution is printed once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.golden import support
from tests.golden.cases import CASES

from polyvigil.cli.views.table import WIDTH, table

NAMES = (
    *("check", "tune", "tune-unlabelled", "tune-like", "ensemble", "judge", "inspect-linear", "inspect-cascade"),
    *("evaluate", "evaluate-more", "compare", "explain-faithfulness", "train-linear", "train-linear-argmax"),
    *("audit-shortcuts", "audit-behaviour", "audit-augmentation", "audit-drift", "audit-similarity"),
)
LINES = {case.name: case.line.split() for case in CASES if case.name in NAMES}
RULE = "─"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.workplace(tmp_path_factory.mktemp("tables").resolve() / "work")


def _tables(out: str) -> Iterator[list[str]]:
    """The lines of each table: those around a rule, up to an empty line."""
    for block in out.split("\n\n"):
        lines = block.splitlines()
        if any(line.strip(f"{RULE} ") == "" and RULE in line for line in lines):
            start = next(index for index, line in enumerate(lines) if RULE in line) - 1
            yield lines[max(start, 0) :]


@pytest.mark.parametrize("name", LINES)
def test_a_table_is_at_most_80_columns_wide(name: str, folder: Path) -> None:
    with support.inside(folder):
        code, out, err = support.run_program([*LINES[name], *(["--replace"] if "-o" in LINES[name] else [])])
    assert code in {0, 3}
    found = list(_tables(out))
    assert found
    for lines in found:
        rule = next(line for line in lines if RULE in line)
        assert len(rule) <= WIDTH, rule
    said = [line.partition(": ")[2] for line in out.splitlines() if line.startswith("caution: ")]
    warned = [line.partition(": ")[2] for line in err.splitlines() if line.startswith(("note: ", "warning: "))]
    assert not set(said) & set(warned)
    few = re.compile(r"^(\w+): (?:only|found on) \d+ positives", re.MULTILINE)
    assert not {match[1] for match in map(few.match, said) if match} & {
        match[1] for match in map(few.match, warned) if match
    }


def test_a_wide_table_goes_on_below_with_its_first_columns() -> None:
    header = ["language", *["measure", "95%"] * 6]
    wide = [[name, *["0.500", "0.100-0.900"] * 6] for name in ("en", "de")]
    parts = [part.splitlines() for part in table(header, wide).split("\n\n")]
    assert len(parts) == 2
    for lines in parts:
        assert max(map(len, lines)) <= WIDTH
        assert lines[0].startswith("language")
        assert [line.split()[0] for line in lines[2:]] == ["en", "de"]
        assert lines[0].split().count("measure") == lines[0].split().count("95%"), "a value stays with its interval"


def test_a_table_that_fits_is_left_as_it_is() -> None:
    assert table(("language", "posts"), [("en", "7")]).splitlines() == [
        "language   posts",
        "────────────────",
        "en             7",
    ]


def test_a_long_name_alone_makes_a_table_wider() -> None:
    name = "x" * 90
    parts = table(("id", "p", "flag"), [(name, "0.5", "no")]).split("\n\n")
    assert all(part.splitlines()[2].startswith(name) for part in parts)
