"""Time two ways of doing one thing in one run: interleaved rounds, CPU and wall time, the ratio of each round.

Machines are noisy: only ratios within a run are reported. A round whose CPU and wall ratios differ by more than 15% was
disturbed and is repeated.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

DISTURBED = 0.15


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster ``ours`` is than ``theirs``, by wall time: median, least and greatest of the rounds."""

    name: str
    median: float
    min: float
    max: float
    rounds: int
    disturbed: int
    ours_seconds: float
    theirs_seconds: float


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int = 5) -> Ratio:
    """Warm both up on one thread, then run ``rounds`` undisturbed rounds of each (at most three times as many)."""
    with threadpool_limits(1):  # equal threads
        return _compare(name, ours, theirs, rounds=rounds)


def _compare(name: str, ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int) -> Ratio:
    ours(), theirs()
    kept: list[float] = []
    seconds: tuple[list[float], list[float]] = ([], [])
    disturbed = 0
    while len(kept) < rounds and disturbed < 2 * rounds:
        mine, other = _timed(ours), _timed(theirs)
        wall, cpu = other[0] / mine[0], other[1] / mine[1]
        if abs(wall / cpu - 1) > DISTURBED:
            disturbed += 1
            continue
        kept.append(wall)
        seconds[0].append(mine[0])
        seconds[1].append(other[0])
    if not kept:
        raise SystemExit(f"{name}: every round was disturbed; try again on a quieter machine")
    return Ratio(
        name,
        statistics.median(kept),
        min(kept),
        max(kept),
        len(kept),
        disturbed,
        statistics.median(seconds[0]),
        statistics.median(seconds[1]),
    )


def report(ratios: list[Ratio], notes: dict[str, object], json_path: str | None) -> None:
    """Print the ratios, and write them as JSON where asked."""
    print(f"{platform.machine()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
    for key, value in notes.items():
        print(f"{key}: {value}")
    for r in ratios:
        print(
            f"{r.name}: {r.median:.1f}x (min {r.min:.1f}, max {r.max:.1f}, {r.rounds} rounds, {r.disturbed} disturbed);"
            f" {r.ours_seconds:.3f} s against {r.theirs_seconds:.3f} s"
        )
    if json_path:
        document = {"notes": notes, "ratios": [asdict(ratio) for ratio in ratios]}
        Path(json_path).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu
