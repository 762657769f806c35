"""Sixteen weeks of made-up scored posts, to try `polyvigil monitor` on; the walk of docs/monitor.md.

    python benchmarks/monitor_example.py FOLDER [--stable]

Posts of three languages from a forum and a feed of tweets, about 2,200 a week. From week 15 on a post of the English
forum mentions an ADE 2.2 times as often, unless ``--stable`` is given. Texts are words without a meaning.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from scipy.special import expit

STREAMS = {("en", "forum"): 1200, ("en", "tweet"): 600, ("de", "forum"): 300, ("ja", "tweet"): 80}
WORDS = (
    "the",
    "patient",
    "took",
    "this",
    "drug",
    "and",
    "felt",
    "well",
    "after",
    "a",
    "week",
    "of",
    "rest",
    "at",
    "home",
)
LETTERS = "薬を飲んだら頭が痛いですね今日は休みます"
WEEKS, CHANGED = 16, 15


def rows_of(week: int, *, stable: bool, random: np.random.Generator) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for (language, source), size in STREAMS.items():
        is_changed = not stable and week >= CHANGED and (language, source) == ("en", "forum")
        prevalence = 0.05 * np.exp(0.1 * random.normal()) * (2.2 if is_changed else 1)
        for _ in range(int(size * np.exp(0.1 * random.normal()))):
            p = expit(random.normal(0.5, 1.3) if random.random() < prevalence else random.normal(-4, 1.4))
            number = int(np.exp(random.normal(2.5, 0.6))) + 1
            text = "".join(random.choice(list(LETTERS), number)) if language == "ja" else " ".join(
                random.choice(WORDS, number)
            )  # fmt: skip
            rows.append(
                {
                    "id": f"{week}-{len(rows)}",
                    "text": text,
                    "source": source,
                    "p": f"{p:.6g}",
                    "p_calibrated": f"{p:.6g}",
                    "decision": int(p >= 0.3),
                    "language": language,
                    "threshold": 0.3,
                    "flags": "",
                    "bundle": "0123456789abcdef",
                }
            )
    return rows


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stable", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for week in range(1, WEEKS + 1):
        rows = rows_of(week, stable=arguments.stable, random=random)
        with (arguments.folder / f"2026-W{week:02d}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
