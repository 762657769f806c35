"""Run by the Python of an environment that holds the wheel alone, in any folder: is all that the program reads there?

    python tests/packaging/installed.py

Compares the installed files with those of the checkout that this file stands in: each file that is no Python, and each
recipe. Parses each template, loads each recipe, prints each page of help. Exit code 1 with what is missing.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import jinja2

import polyvigil
from polyvigil.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = Path(polyvigil.__file__).parent


def main() -> int:
    if ROOT in INSTALLED.parents:
        print("polyvigil is imported from the checkout, not from a wheel", file=sys.stderr)
        return 1
    missing = [name for name in _expected() if not (INSTALLED / name).is_file()]
    environment = jinja2.Environment(autoescape=True)
    templates = sorted(INSTALLED.rglob("*.j2"))
    for path in templates:
        environment.parse(path.read_text(encoding="utf-8"))
    recipes = sorted(path.stem for path in (INSTALLED / "recipes").glob("*.toml"))
    pages = sorted(path.stem for path in (INSTALLED / "help").glob("*.md"))
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent):
        failed = [name for name in recipes if run(["recipes", name]) != 0]
        failed += [name for name in pages if run(["help", name]) != 0]
    for what in (*missing, *failed):
        print(f"missing or unreadable in the installed wheel: {what}", file=sys.stderr)
    print(f"{len(templates)} templates, {len(recipes)} recipes, {len(pages)} pages of help")
    return 1 if missing or failed or not templates or not recipes else 0


def _expected() -> list[str]:
    """Paths inside the package of what stands in the checkout beside Python."""
    source = ROOT / "src" / "polyvigil"
    files = [path for path in source.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    names = [path.relative_to(source).as_posix() for path in files if "__pycache__" not in path.parts]
    return names + [f"recipes/{path.name}" for path in (ROOT / "recipes").glob("*.toml")]


if __name__ == "__main__":
    sys.exit(main())
