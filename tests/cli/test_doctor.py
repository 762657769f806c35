"""What doctor says of an installation that lacks something, or whose torch is broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

import pytest

from polyvigil.cli import doctor


def _without(*names: str) -> Callable[[str], str]:
    def installed(name: str) -> str:
        if name in names:
            raise PackageNotFoundError(name)
        return version(name)

    return installed


def test_a_missing_library_fails_and_a_missing_extra_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", _without("numpy", "uvicorn", "torch"))
    base, extras = (
        ["numpy", "scipy"],
        {"serve": ["starlette", "uvicorn"], "review": ["starlette", "uvicorn", "alembic"]},
    )
    checks = [*map(doctor._library, base), *(doctor._extra(name, extras) for name in extras), doctor._devices()()]
    assert [check.state for check in checks] == ["fail", "ok", "off", "off", "off"]
    assert checks[2].found == "not there: uvicorn; pip install 'polyvigil[serve]'"


def test_an_extra_that_holds_another_names_it() -> None:
    extras = {"small": ["numpy"], "large": ["numpy", "scipy"]}
    assert doctor._extra("large", extras).found == f"small, scipy {version('scipy')}"


def test_the_libraries_are_those_of_the_package() -> None:
    base, extras = doctor._requirements()
    assert {"numpy", "numba", "pydantic"} <= set(base)
    assert "torch" in extras["encoders"]
    assert not {"dev", "docs"} & extras.keys()


@pytest.mark.parametrize(("python", "needed"), [((3, 13, 5), True), ((3, 14, 0), False)])
def test_a_library_of_older_pythons_is_asked_for_there_alone(
    monkeypatch: pytest.MonkeyPatch, python: tuple[int, ...], needed: bool
) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", python)
    base, _ = doctor._requirements()
    assert ("backports-zstd" in base or "backports.zstd" in base) == needed


@pytest.mark.parametrize(("minor", "state"), [(10, "warn"), (11, "ok"), (14, "ok"), (15, "warn")])
def test_the_pythons_are_those_that_the_package_allows(monkeypatch: pytest.MonkeyPatch, minor: int, state: str) -> None:
    assert metadata("polyvigil")["Requires-Python"] == "<3.15,>=3.11"
    monkeypatch.setattr(doctor.sys, "version_info", (3, minor))
    assert doctor._python().state == state


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], doctor.Check]:
    """What is said of devices where ``import torch`` runs a given program."""
    pytest.importorskip("torch")

    def asked(program: str) -> doctor.Check:
        (tmp_path / "torch.py").write_text(program, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return doctor._devices()()

    return asked


@pytest.mark.parametrize(
    ("program", "what"),
    [("raise ImportError('libcudart.so.12 is not there')", "libcudart"), ("import os; os._exit(139)", "exit code 139")],
)
def test_a_broken_torch_is_said_and_ends_nothing(
    devices: Callable[[str], doctor.Check], program: str, what: str
) -> None:
    check = devices(program)
    assert check.state == "fail"
    assert what in check.found


def test_gpus_are_named(devices: Callable[[str], doctor.Check]) -> None:
    check = devices("""
from types import SimpleNamespace as N
__version__ = "2.13.0"
version = N(cuda="12.8")
cuda = N(is_available=lambda: True, device_count=lambda: 2, get_device_name=lambda index: f"GPU {index}")
backends = N(mps=N(is_available=lambda: False))
""")
    assert (check.state, check.found) == ("ok", "GPU 0, GPU 1 (torch 2.13.0, CUDA 12.8)")


def test_each_line_is_there_as_soon_as_it_is_known() -> None:
    """The first lines come before the small training has ended, which imports numba alone takes a while for."""
    with subprocess.Popen([sys.executable, "-m", "polyvigil", "doctor"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        first = process.stdout.readline()
        running = process.poll() is None
        lines = [first, *process.stdout]
    assert process.returncode == 0
    assert running
    assert lines[0].startswith("ok    python")
    assert lines[-2].startswith("ok    main job")
    assert " devices " in lines[-1]
