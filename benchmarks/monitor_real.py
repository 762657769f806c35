"""`polyvigil monitor` on real scores: labelled posts are sampled again into weeks; in the last two ADEs double.

    polyvigil train linear --train TRAIN -o bundle
    polyvigil score bundle TEST -o scored.csv
    python benchmarks/monitor_real.py scored.csv [--posts 4000] [--runs 3]

``scored.csv`` keeps the column label of TEST. Each week has about ``--posts`` of every language, 5% of them ADEs (odds
vary by 10% from week to week), drawn with replacement; in the last two of 14 weeks 10%, in the runs called doubled.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyvigil.monitor.counts import CountOptions, count_file
from polyvigil.monitor.report import MonitorReport, make_report
from polyvigil.monitor.store import add_files, read_monitor

WEEKS, CHANGED, PREVALENCE = 14, 13, 0.05
Rows = list[dict[str, str]]


def week_of(rows: Rows, size: int, week: int, *, doubled: bool, random: np.random.Generator) -> Rows:
    """Posts of one week: of each language about so many."""
    chosen: Rows = []
    for language in sorted({row["language"] for row in rows}):
        share = PREVALENCE * np.exp(0.1 * random.normal()) * (2 if doubled and week >= CHANGED else 1)
        number = int(size * np.exp(0.1 * random.normal()))
        positives = int(random.binomial(number, share))
        for label, wanted in (("1", positives), ("0", number - positives)):
            some = [row for row in rows if row["language"] == language and row["label"] == label]
            chosen += [some[index] for index in random.integers(len(some), size=wanted)]
    return chosen


def run(rows: Rows, size: int, *, doubled: bool, seed: int, folder: Path) -> MonitorReport:
    random = np.random.default_rng(seed)
    monitor, path = folder / f"{doubled}-{seed}.jsonl", folder / "week.csv"
    for week in range(1, WEEKS + 1):
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(week_of(rows, size, week, doubled=doubled, random=random))
        add_files(monitor, [count_file(str(path), options=CountOptions(week=f"2026-W{week:02d}"))])
    return make_report(read_monitor(monitor))


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scored", type=Path)
    parser.add_argument("--posts", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args(arguments)
    with given.scored.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["label"] in ("0", "1")]
    both = {name for (name, _), n in Counter((row["language"], row["label"]) for row in rows).items() if n >= 50}
    rows = [row for row in rows if row["language"] in both]
    with tempfile.TemporaryDirectory() as folder:
        for doubled in (False, True):
            for seed in range(given.runs):
                report = run(rows, given.posts, doubled=doubled, seed=seed, folder=Path(folder))
                alarms = [f"{one.language} {one.metric} {one.first}" for one in report.alarms]
                print("doubled" if doubled else "stable ", f"{len(report.charts)} charts:", ", ".join(alarms) or "none")


if __name__ == "__main__":
    main()
