"""Run the benchmarks that have bars, one after the other, and write their table into RESULTS.md.

    python benchmarks/bars.py [--posts POSTS.csv] [--only training thresholds]

Each runs in a process of its own and measures its arms side by side. What was measured is kept in results.json, so that
a run of some leaves the rows of the others, each with its own date and machine. Nothing else should run meanwhile.
POSTS.csv: labelled posts with a split column, for the linear default.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from side_by_side import Ratio

HERE = Path(__file__).parent
RECORD = HERE / "results.json"
RESULTS = HERE / "RESULTS.md"
BEGIN, END = "<!-- bars: written by bars.py -->", "<!-- end of bars -->"
BENCHMARKS = ("embedded", "thresholds", "inference", "training")
LIBRARIES = ("numpy", "scikit-learn", "torch", "transformers", "numba")


@dataclass(frozen=True, slots=True)
class Run:
    """One benchmark, as it was run."""

    command: str
    date: str
    machine: str
    versions: dict[str, str]
    ratios: list[Ratio]
    notes: dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", help="labelled posts with a split column")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    arguments = parser.parse_args()
    runs = read_record()
    for name in arguments.only:
        for posts in [None, arguments.posts] if name == "embedded" and arguments.posts else [None]:
            key = name + (", real posts" if posts else "")
            print(f"== {key}", flush=True)
            runs[key] = run(name, [posts] if posts else [])
            RECORD.write_text(json.dumps({k: asdict(v) for k, v in sorted(runs.items())}, indent=2) + "\n")
            write_table(runs)


def run(name: str, extra: list[str]) -> Run:
    """Run one benchmark; what it prints is shown."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        script = HERE / f"{name}.py"
        subprocess.run([sys.executable, str(script), *extra, "--json", str(told)], check=True)
        document = json.loads(told.read_text(encoding="utf-8"))
    return Run(
        command=" ".join([script.name, *("POSTS.csv" for _ in extra)]),
        date=time.strftime("%Y-%m-%d"),
        machine=machine(),
        versions={"python": platform.python_version(), **{library: version(library) for library in LIBRARIES}},
        ratios=[Ratio(**ratio) for ratio in document["ratios"]],
        notes=document["notes"],
    )


def machine() -> str:
    """The processor by its name, and how many of its cores there are."""
    known = Path("/proc/cpuinfo")
    names = [line for line in known.read_text().splitlines() if "model name" in line] if known.exists() else []
    return f"{names[0].split(':')[1].strip() if names else platform.machine()}, {os.cpu_count()} cores"


def read_record() -> dict[str, Run]:
    """What was measured so far."""
    if not RECORD.exists():
        return {}
    runs = json.loads(RECORD.read_text(encoding="utf-8"))
    return {key: Run(**{**one, "ratios": [Ratio(**ratio) for ratio in one["ratios"]]}) for key, one in runs.items()}


def write_table(runs: dict[str, Run]) -> None:
    """Put the table between its marks in RESULTS.md."""
    before, _, rest = RESULTS.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    RESULTS.write_text(f"{before}{BEGIN}\n{table(runs)}\n{END}{after}", encoding="utf-8")


def table(runs: dict[str, Run]) -> str:
    """Markdown: a row for each ratio, then the machines and versions."""
    lines = ["| what | command | ratio | bar |", "|---|---|---|---|"]
    for key, one in sorted(runs.items()):
        for ratio in one.ratios:
            told = f"{number(ratio.median)} ({number(ratio.min)}-{number(ratio.max)})"
            told += " by CPU time" if ratio.clock == "CPU" else ""
            missed = ratio.bar is not None and ratio.median < ratio.bar
            bar = "" if ratio.bar is None else f"{ratio.bar:g}" + (" (missed)" if missed else "")
            name = ratio.name + (", real posts" if "real posts" in key else "")
            lines.append(f"| {name} | `{one.command}` | {told} | {bar} |")
    told_of = sorted({(one.date, one.machine, tuple(one.versions.items())) for one in runs.values()})
    lines += [""] + [
        f"{date}: {where}; " + ", ".join(f"{library} {its}" for library, its in versions)
        for date, where, versions in told_of
    ]
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits, as far as they are needed."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
