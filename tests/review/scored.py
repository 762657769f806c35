"""Files of scored posts, as ``polyvigil score`` writes them, made without a bundle."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUNDLE = "0123456789abcdef"


def letters(number: int) -> str:
    """A word for a number, so that two texts do not read the same."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def scored_rows(
    n: int, *, seed: int = 0, flagged: float = 0.1, bundle: str = BUNDLE, **cells: Any
) -> Iterator[dict[str, Any]]:
    """``n`` rows in three languages, of which about the share ``flagged`` is flagged; ``cells`` replace others."""
    chance = random.Random(seed)
    for number in range(n):
        is_flagged = chance.random() < flagged
        p = 0.5 + chance.random() / 2 if is_flagged else chance.random() / 2.1
        yield {
            "id": f"post-{seed}-{number}",
            "text": f"post {letters(number)} of {letters(seed)} about a drug",
            "type": "tweet",
            "p": round(p, 6),
            "p_calibrated": round(p**2, 6),
            "decision": int(is_flagged),
            "language": ("de", "en", "ja")[number % 3],
            "threshold": 0.5,
            "threshold_source": "own",
            "spread": 0.0,
            "flags": "",
            "bundle": bundle,
        } | cells


def write_scored(path: Path, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Path:
    """Write rows as CSV, and return the path."""
    rows = list(rows)
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path
