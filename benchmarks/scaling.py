"""How time and memory of ``polyvigil score`` grow with the number of posts: the real command, on synthetic posts.

    python benchmarks/scaling.py [--posts 1000 10000 100000] [--processes 1 2] [--bundle FOLDER] [--svg FILE]

Without a bundle the linear default is trained on the synthetic sample corpus, whose posts, numbered, are what is
scored. Wall time is of a shared machine; posts per second of CPU time is the steadier number. Memory is the peak of
the largest process. The slope of log(time) against log(posts) is that of the time above an empty run's.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np

from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import csv_text, write_posts


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command. ``seconds`` on the wall, ``cpu`` of all processes, ``peak_mb`` of the largest."""

    posts: int
    processes: int
    seconds: float
    cpu: float
    peak_mb: float
    input_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--bundle", help="score with this one")
    parser.add_argument("--svg", help="draw the plot here")
    parser.add_argument("--json", help="write the numbers here")
    arguments = parser.parse_args()
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = arguments.bundle or _train(folder)
        for posts in (0, *sorted(arguments.posts)):
            source = _write(folder / "posts.csv", posts)
            for processes in arguments.processes:
                runs.append(run := _score(bundle, source, posts, processes))
                print(_told(run, runs), flush=True)
    for processes in arguments.processes:
        print(f"slope, {processes} process(es): {slope(runs, processes):.3f} of wall time, ", end="")
        print(f"{slope(runs, processes, cpu=True):.3f} of CPU time")
    if arguments.svg:
        Path(arguments.svg).write_text(drawn(runs), encoding="utf-8")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([asdict(run) for run in runs], indent=2) + "\n", encoding="utf-8")


def slope(runs: list[Run], processes: int, *, cpu: bool = False) -> float:
    """Of log(time) against log(posts), the time of a run without posts taken off."""
    mine = [run for run in runs if run.processes == processes]
    times = {run.posts: run.cpu if cpu else run.seconds for run in mine}
    sizes = [posts for posts in times if posts >= 10_000]
    if len(sizes) < 2:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log([times[posts] - times[0] for posts in sizes]), 1)[0])


def _train(folder: Path) -> str:
    corpus = sample_corpus()
    for split in ("train", "dev"):
        write_posts(folder / f"{split}.csv", [item for item in corpus if item.post.split == split])
    files = ["--train", str(folder / "train.csv"), "--dev", str(folder / "dev.csv")]
    subprocess.run(
        [sys.executable, "-m", "polyvigil", "train", "linear", *files, "-o", str(folder / "bundle"), "-q"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return str(folder / "bundle")


def _write(path: Path, count: int) -> Path:
    posts = [item.post for item in sample_corpus()]
    with path.open("w", encoding="utf-8") as stream:
        stream.write(csv_text([("id", "text", "language")]))
        for start in range(0, count, 10_000):
            numbers = range(start, min(start + 10_000, count))
            chosen = [(number, posts[number % len(posts)]) for number in numbers]
            stream.write(csv_text((number, f"{post.text} {number}", post.language) for number, post in chosen))
    return path


def _score(bundle: str, source: Path, posts: int, processes: int) -> Run:
    output = source.with_name("scored.csv")
    line = [sys.executable, "-m", "polyvigil", "score", bundle, str(source), "-o", str(output)]
    started = time.perf_counter()
    process = subprocess.Popen([*line, "--processes", str(processes), "-q"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    return Run(
        posts=posts,
        processes=processes,
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        input_mb=source.stat().st_size / 1e6,
    )


def _told(run: Run, runs: list[Run]) -> str:
    empty = next(one for one in runs if not one.posts and one.processes == run.processes)
    line = f"{run.posts:>9,} posts ({run.input_mb:,.1f} MB), {run.processes} process(es): {run.seconds:7.1f} s, "
    line += f"CPU {run.cpu:7.1f} s, peak {run.peak_mb:5.0f} MB"
    if run.posts:
        line += f"; beyond an empty run {run.posts / max(run.cpu - empty.cpu, 1e-9):,.0f} posts a second of CPU"
        line += f", {run.posts / (run.seconds - empty.seconds):,.0f}/s" if run.seconds > 2 * empty.seconds else ""
    return line


def drawn(runs: list[Run]) -> str:
    """Two panels as SVG: CPU time, and peak memory, by posts; both axes logarithmic."""
    scored = [run for run in runs if run.posts]
    panels = (
        ("CPU time, seconds", [run.cpu for run in scored]),
        ("peak memory of the largest process, MB", [run.peak_mb for run in scored]),
    )
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 270" font-family="sans-serif" font-size="11">']
    parts.append("<title>Time and memory of scoring by number of posts</title>")
    low, high = _decades([float(run.posts) for run in scored])
    for place, (title, values) in enumerate(panels):
        left, top, width, height = 50 + 360 * place, 30, 290, 190
        least, most = _decades(values)
        across = [left + width * (math.log10(run.posts) - low) / (high - low) for run in scored]
        down = [top + height * (most - math.log10(value)) / (most - least) for value in values]
        parts.append(f'<text x="{left}" y="18" font-weight="bold">{escape(title)}</text>')
        parts.append(f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#888"/>')
        for power in range(low, high + 1):
            x = left + width * (power - low) / (high - low)
            parts.append(f'<text x="{x:.0f}" y="{top + height + 15}" text-anchor="middle">{10**power:,}</text>')
        for power in range(least, most + 1):
            y = top + height * (most - power) / (most - least)
            parts.append(f'<text x="{left - 4}" y="{y + 4:.0f}" text-anchor="end">{10**power:,}</text>')
        for processes in sorted({run.processes for run in scored}):
            mine = [n for n, run in enumerate(scored) if run.processes == processes]
            dash = "" if processes == 1 else ' stroke-dasharray="5 3"'
            path = "M" + "L".join(f"{across[n]:.1f} {down[n]:.1f}" for n in mine)
            parts.append(f'<path d="{path}" fill="none" stroke="#246" stroke-width="1.5"{dash}/>')
            parts.extend(f'<circle cx="{across[n]:.1f}" cy="{down[n]:.1f}" r="3" fill="#246"/>' for n in mine)
    parts.append('<text x="50" y="262">posts; a line: one process, dashes: more</text></svg>')
    return "\n".join(parts) + "\n"


def _decades(values: list[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


if __name__ == "__main__":
    main()
