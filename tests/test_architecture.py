"""docs/architecture.md names every package, and each stop of its walk is a function of that file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SRC = ROOT / "src"
PACKAGES = sorted(path.parent.relative_to(SRC).as_posix() for path in SRC.rglob("__init__.py"))
STOPS = re.findall(r"`([\w/]+\.py): (\w+)`", PAGE.partition("## One walk")[2].partition("\n## ")[0])


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "polyvigil"])
def test_every_package_is_named(package: str) -> None:
    assert f"{package.removeprefix('polyvigil/')}/" in PAGE


def test_the_walk_has_stops() -> None:
    assert len(STOPS) > 10


@pytest.mark.parametrize(("path", "function"), STOPS)
def test_every_stop_of_the_walk_is_a_function(path: str, function: str) -> None:
    tree = ast.parse((SRC / "polyvigil" / path).read_text(encoding="utf-8"))
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
