"""Time two ways of doing one thing in one run: interleaved rounds, CPU and wall time, the ratio of each round.

Machines are noisy: only ratios within a run are reported. A round whose CPU and wall ratios differ by more than 15% was
disturbed and is repeated. Where every round was disturbed, the ratios of CPU time stand in, and say so.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from threadpoolctl import threadpool_limits

DISTURBED = 0.15


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster ``ours`` is than ``theirs``: median, least and greatest of the rounds; ``bar``: wanted.

    ``clock``: "wall", of the undisturbed ``rounds``; or "CPU", of all rounds. ``cpu_median``: by CPU time, all rounds.
    """

    name: str
    median: float
    min: float
    max: float
    rounds: int
    disturbed: int
    ours_seconds: float
    theirs_seconds: float
    clock: str
    cpu_median: float
    bar: float | None = None


def compare(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    rounds: int = 5,
    warm: bool = False,
    bar: float | None = None,
) -> Ratio:
    """Run ``rounds`` undisturbed rounds of each (at most three times as many) on one thread.

    Before that each runs once, unless both are ``warm``.
    """
    with threadpool_limits(1):  # equal threads
        if not warm:
            ours(), theirs()
        return replace(_compare(name, ours, theirs, rounds=rounds), bar=bar)


def _compare(name: str, ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int) -> Ratio:
    kept: list[_Round] = []
    disturbed: list[_Round] = []
    while len(kept) < rounds and len(disturbed) < 2 * rounds:
        one = _Round(*_timed(ours), *_timed(theirs))
        (disturbed if abs(one.wall / one.cpu - 1) > DISTURBED else kept).append(one)
    values = [one.wall for one in kept] or [one.cpu for one in disturbed]
    return Ratio(
        name,
        statistics.median(values),
        min(values),
        max(values),
        len(kept),
        len(disturbed),
        statistics.median(one.ours_wall if kept else one.ours_cpu for one in kept or disturbed),
        statistics.median(one.theirs_wall if kept else one.theirs_cpu for one in kept or disturbed),
        "wall" if kept else "CPU",
        statistics.median(one.cpu for one in (*kept, *disturbed)),
    )


@dataclass(frozen=True, slots=True)
class _Round:
    """Seconds of one round."""

    ours_wall: float
    ours_cpu: float
    theirs_wall: float
    theirs_cpu: float

    @property
    def wall(self) -> float:
        return self.theirs_wall / self.ours_wall

    @property
    def cpu(self) -> float:
        return self.theirs_cpu / self.ours_cpu


def report(ratios: list[Ratio], notes: dict[str, object], json_path: str | None) -> None:
    """Print the ratios, and write them as JSON where asked."""
    print(f"{platform.machine()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
    for key, value in notes.items():
        print(f"{key}: {value}")
    for ratio in ratios:
        print(line(ratio))
    write(ratios, notes, json_path)


def line(r: Ratio) -> str:
    """A ratio and where it comes from."""
    return (
        f"{r.name}: {_short(r.median)}x by {r.clock} time (min {_short(r.min)}, max {_short(r.max)}, "
        f"{r.rounds} rounds, {r.disturbed} disturbed; {_short(r.cpu_median)}x by CPU time, all rounds); "
        f"{r.ours_seconds:.3f} s against {r.theirs_seconds:.3f} s" + (f"; bar {r.bar:g}" if r.bar else "")
    )


def write(ratios: list[Ratio], notes: dict[str, object], json_path: str | None) -> None:
    """The ratios as JSON, where asked."""
    if json_path:
        document = {"notes": notes, "ratios": [asdict(ratio) for ratio in ratios]}
        Path(json_path).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _short(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 3 else f"{ratio:.2f}"


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu
