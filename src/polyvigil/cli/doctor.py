"""``polyvigil doctor``."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.types import Frozen

_NEEDED = (
    *("numpy", "scipy", "scikit-learn", "pyarrow", "pydantic", "typer", "rich", "jinja2"),
    *("ftfy", "regex", "py3langid", "safetensors", "threadpoolctl", "tomli-w"),
)
_LEAST_DISK_GB = 1.0


class Check(Frozen):
    """One thing that was looked at: ``ok``, ``warn`` or ``fail``."""

    name: str
    state: str
    found: str


@command(examples=("polyvigil doctor", "polyvigil doctor --json"))
def doctor(out: Output) -> Answer:  # noqa: ARG001
    """Look at this machine and installation: versions, cores, disk, and a small bundle trained, saved and loaded."""
    checks = [_python(), *map(_library, _NEEDED), _cores(), _disk(), _encoding(), _main_job()]
    lines = [f"{check.state:<5} {check.name:<14} {check.found}" for check in checks]
    failed = any(check.state == "fail" for check in checks)
    return Answer({"checks": [check.model_dump() for check in checks]}, lines, 1 if failed else 0)


def _python() -> Check:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check(name="python", state="ok" if good else "warn", found=f"{platform.python_version()} (3.11 to 3.13)")


def _library(name: str) -> Check:
    try:
        return Check(name=name, state="ok", found=version(name))
    except PackageNotFoundError:
        return Check(name=name, state="fail", found="missing: pip install polyvigil again")


def _cores() -> Check:
    return Check(name="cores", state="ok", found=str(os.cpu_count()))


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Check(name="disk", state="ok" if free >= _LEAST_DISK_GB else "warn", found=f"{free:,.1f} GB free here")


def _encoding() -> Check:
    encoding = os.environ.get("PYTHONIOENCODING") or sys.getfilesystemencoding()
    return Check(name="file names", state="ok" if encoding.lower().startswith("utf") else "warn", found=encoding)


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
