"""The public names: they are what they say in every order of imports, and the README's Python runs as written."""

from __future__ import annotations

import importlib
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import polyvigil

README = Path(__file__).parents[1] / "README.md"
DOCUMENTED = Path(__file__).parents[1] / "docs" / "python.md"


def test_public_names_are_not_modules() -> None:
    """A subpackage of the same name would take the place of a function as soon as it is imported."""
    modules = {module.name for module in pkgutil.iter_modules(polyvigil.__path__)}
    assert not modules & set(polyvigil.__all__)
    for name in polyvigil.__all__:
        value = getattr(polyvigil, name)
        if name not in {"__version__", "Recipe"}:  # a str; a union of classes
            assert getattr(importlib.import_module(value.__module__), value.__name__) is value
    assert dir(polyvigil) == sorted(polyvigil.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = polyvigil.nothing


@pytest.mark.parametrize("name", polyvigil.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    assert re.search(rf"`{name}[`(]", DOCUMENTED.read_text(encoding="utf-8"))
    documentation = "" if name == "__version__" else getattr(polyvigil, name).__doc__
    assert documentation is not None
    assert not documentation.startswith(f"{name}(")  # what a dataclass without one has


def test_importing_the_package_is_light() -> None:
    """Less than 0.1 s of CPU time, and no library that a caller may not need."""
    program = (
        "import sys, time; before = time.process_time(); import polyvigil; "
        "heavy = ('torch', 'numpy', 'sklearn', 'narwhals'); "
        "print(time.process_time() - before, *(name in sys.modules for name in heavy))"
    )
    seconds, *imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(seconds) < 0.1
    assert imported == ["False"] * 4


def test_the_api_on_lists_imports_no_torch(bundle_folder: Path) -> None:
    program = (
        f"import sys, polyvigil; bundle = polyvigil.load({str(bundle_folder)!r}); bundle.decide(['these pills']); "
        "print(*(name in sys.modules for name in ('torch', 'narwhals')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"] * 2


def test_the_readme_s_python_runs_as_written(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "bundle").symlink_to(bundle_folder)
    (tmp_path / "readme.py").write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("readme.py")
    p, decision, threshold, *flags = capsys.readouterr().out.split()
    assert 0 < float(p) < 1
    assert decision in {"0", "1"}
    assert int(float(p) >= float(threshold)) == int(decision)
    assert not flags
