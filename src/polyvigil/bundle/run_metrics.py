"""``metrics.jsonl``: what a training measured while it went on, one value a line, for a chart or a tracking server.

    {"member": "seed 42", "step": 120, "name": "loss", "value": 0.41, "time": 1767225600.0}

It moves no decision and is no part of a bundle's id. The names are listed on docs/howto/tracking.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from polyvigil.bundle import layout
from polyvigil.data.append_log import append_entries, read_entries
from polyvigil.errors import BundleError
from polyvigil.types import Frozen


class RunMetric(Frozen):
    """One value."""

    member: str
    """``seed 42``; ``linear``; ``seed 42, fold 1 of 5``; empty for what is of all members together."""
    step: int
    """Of an encoder the optimiser steps taken, of a linear fit its epochs; 0 for what is of the whole run."""
    name: str
    value: float
    time: float
    """Seconds since 1970, UTC."""


def metrics_now(member: str, step: int, values: Mapping[str, float]) -> list[RunMetric]:
    """Values of one moment, without those that are no number."""
    moment = round(time.time(), 3)
    finite = ((name, float(value)) for name, value in values.items() if math.isfinite(value))
    return [RunMetric(member=member, step=step, name=name, value=value, time=moment) for name, value in finite]


def append_metrics(path: Path, metrics: Iterable[RunMetric]) -> None:
    """Add lines to a file that may be read meanwhile; they are on the disk when this returns."""
    append_entries(path, (metric.model_dump() for metric in metrics))


def as_lines(metrics: Iterable[RunMetric]) -> str:
    """The whole file."""
    return "".join(metric.model_dump_json() + "\n" for metric in metrics)


def read_metrics(folder: str | Path) -> list[RunMetric]:
    """The values of a bundle, of the work folder of a training under way (``OUTPUT.work``), or of such a file.

    In the order in which they were measured. A training that went on after an interruption has measured some steps
    twice, of which the later value counts. Raises BundleError where there is no such file, or a line is no value.
    """
    path = Path(folder)
    path = path / layout.METRICS if path.is_dir() else path
    if not path.is_file():
        raise BundleError(
            "no metrics of a training", where=str(path), hint="name a bundle that was trained, or its OUTPUT.work"
        )
    values: dict[tuple[str, int, str], RunMetric] = {}
    for metric in _entries(path):
        key = (metric.member, metric.step, metric.name)
        values.pop(key, None)
        values[key] = metric
    return [*values.values()]


def _entries(path: Path) -> Iterator[RunMetric]:
    for number, entry in read_entries(path):
        try:
            yield RunMetric.model_validate(entry)
        except ValueError as error:
            hint = "the file was changed; make it again by training again"
            raise BundleError("no value of a training", where=f"{path}:{number}", hint=hint) from error
