"""tests/slow.txt names what there is, and leaves at least one file of every package to the fast tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.conftest import SLOW

TESTS = Path(__file__).parent
ROOMS = sorted({path.parent.name for path in TESTS.glob("*/test_*.py")} - {"golden"})


@pytest.mark.parametrize("name", SLOW)
def test_what_is_named_exists(name: str) -> None:
    path, _, test = name.partition("::")
    tree = ast.parse((TESTS.parent / path).read_text(encoding="utf-8"))
    assert not test or test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_fast_tests(room: str) -> None:
    files = {f"tests/{room}/{path.name}" for path in (TESTS / room).glob("test_*.py")}
    assert files - set(SLOW)
