"""What an error says of a library that is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import polyvigil
from polyvigil.errors import BundleError, RecipeError, install_command, not_installed, require


def test_what_is_installed_is_required_without_a_word() -> None:
    require("json", "pathlib", extra="encoders", needed_by="this test")


@pytest.mark.parametrize(
    ("library", "hint"),
    [
        ("torch", "install torch for this machine, then: pip install 'polyvigil[encoders]'"),
        ("peft", "pip install 'polyvigil[encoders]'"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(library: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(RecipeError) as caught:
        require("json", library, extra="encoders", needed_by="an encoder", where="model.kind")
    assert str(caught.value) == f"model.kind: an encoder needs {library}, which is not installed; {hint}"


def test_the_error_may_be_of_another_kind() -> None:
    error = not_installed("gliner2", extra="zero-shot", needed_by="a member", error=BundleError)
    assert (type(error), error.hint) == (BundleError, install_command("zero-shot"))


def test_no_other_module_builds_such_a_hint() -> None:
    root = Path(polyvigil.__file__).parent
    builders = [path for path in root.rglob("*.py") if "polyvigil[" in path.read_text(encoding="utf-8")]
    assert builders == [root / "errors.py"]
