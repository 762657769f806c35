"""``polyvigil doctor``."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import typer

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output, escaped
from polyvigil.errors import install_command
from polyvigil.types import Frozen

_LEAST_DISK_GB = 1.0
_FOR_DEVELOPERS = frozenset({"dev", "docs"})
_PATIENCE = 60.0  # seconds for torch to say what it sees
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else []
names += ["Apple GPU"] * torch.backends.mps.is_available()
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "devices": names}))
"""


class Check(Frozen):
    """One thing that was looked at: ``ok``, ``warn``, ``fail``; ``off`` for an extra that is not installed."""

    name: str
    state: str
    found: str

    @property
    def line(self) -> str:
        """As the terminal shows it."""
        return f"{self.state:<5} {self.name:<18} {self.found}"


@command(examples=("polyvigil doctor", "polyvigil doctor --json"))
def doctor(out: Output) -> Answer:
    """Look at this machine and installation: versions, extras, devices, disk, and a small bundle trained and loaded.

    Each line is shown as soon as it is known. Exit code 1 where something fails.
    """
    checks: list[Check] = []
    for check in _checks():
        checks.append(check)
        if not out.json:
            typer.echo(escaped(check.line))
    failed = any(check.state == "fail" for check in checks)
    return Answer({"checks": [check.model_dump() for check in checks]}, exit_code=1 if failed else 0)


def _checks() -> Iterator[Check]:
    """All of them, the quick ones first; torch looks for devices meanwhile."""
    devices = _devices()
    yield _python()
    base, extras = _requirements()
    yield from map(_library, base)
    yield from (_extra(name, extras) for name in extras)
    yield Check(name="cores", state="ok", found=str(os.cpu_count()))
    yield _disk()
    yield _encoding()
    yield _main_job()
    yield devices()


def _python() -> Check:
    good = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Check(name="python", state="ok" if good else "warn", found=f"{platform.python_version()} (3.11 to 3.14)")


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The libraries of the base installation and of each extra, as the installed package names them for this Python."""
    base: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in requires("polyvigil") or ():
        match = re.match(r"([A-Za-z0-9._-]+)", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        older = re.search(r"python_version < ['\"]3\.(\d+)['\"]", requirement)
        if not match or match[1] == "polyvigil" or (extra and extra[1] in _FOR_DEVELOPERS):
            continue
        if older and sys.version_info[:2] >= (3, int(older[1])):
            continue
        (extras.setdefault(extra[1], []) if extra else base).append(match[1])
    return base, extras


def _version(name: str) -> str:
    """Of an installed library; empty where it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _library(name: str) -> Check:
    there = _version(name)
    return Check(name=name, state="ok" if there else "fail", found=there or "missing: pip install polyvigil again")


def _extra(name: str, extras: dict[str, list[str]]) -> Check:
    """Whether an extra's libraries are there; those of another extra that is part of it stand under its name."""
    missing = [library for library in extras[name] if not _version(library)]
    if missing:
        advice = install_command(name)
        return Check(name=f"extra {name}", state="off", found=f"not there: {', '.join(missing)}; {advice}")
    parts = [other for other, libraries in extras.items() if set(libraries) < set(extras[name])]
    shown = {library for part in parts for library in extras[part]}
    alone = [f"{library} {_version(library)}" for library in extras[name] if library not in shown]
    return Check(name=f"extra {name}", state="ok", found=", ".join([*parts, *alone]))


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Check(name="disk", state="ok" if free >= _LEAST_DISK_GB else "warn", found=f"{free:,.1f} GB free here")


def _encoding() -> Check:
    encoding = os.environ.get("PYTHONIOENCODING") or sys.getfilesystemencoding()
    return Check(name="file names", state="ok" if encoding.lower().startswith("utf") else "warn", found=encoding)


def _devices() -> Callable[[], Check]:
    """Begin to ask torch, in a process of its own: it takes a second to load, and a broken build may end its process.
    Gives what waits for its answer."""
    if not _version("torch"):
        return lambda: Check(name="devices", state="off", found="torch is not installed: the linear default needs none")
    process = subprocess.Popen(  # -P: nothing is imported from the folder that the user is in
        [sys.executable, "-P", "-c", _TORCH], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def answer() -> Check:
        try:
            out, err = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Check(name="devices", state="warn", found=f"torch was not loaded in {_PATIENCE:g} s")
        if process.returncode:
            last = (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            return Check(name="devices", state="fail", found=f"torch cannot be loaded: {last}; install it again")
        seen = json.loads(out)
        build = f"torch {seen['version']}, " + (f"CUDA {seen['cuda']}" if seen["cuda"] else "built without CUDA")
        return Check(name="devices", state="ok", found=f"{', '.join(seen['devices']) or 'CPU alone'} ({build})")

    return answer


def _main_job() -> Check:
    """The real path in small: learn, tune, save, load, score."""
    import tempfile
    import time

    from polyvigil.config.recipe import LinearRecipe
    from polyvigil.data.sample import sample_corpus
    from polyvigil.workflows import train as training

    started = time.perf_counter()
    english = [item for item in sample_corpus() if item.post.language == "en"]
    data = training.TrainingData(
        train=tuple(item for item in english if item.post.split == "train"),
        dev=tuple(item for item in english if item.post.split == "dev"),
        data="synthetic sample",
        row_errors=(),
        notes=(),
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            bundle = training.train(LinearRecipe(), data, output=Path(folder) / "bundle").bundle
            bundle.probabilities([item.post for item in english if item.post.split == "test"])
    except Exception as error:
        return Check(name="main job", state="fail", found=f"{type(error).__name__}: {error}")
    return Check(
        name="main job", state="ok", found=f"trained, saved and scored in {time.perf_counter() - started:.1f} s"
    )
