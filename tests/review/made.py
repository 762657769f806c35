"""Scored posts made by hand: rows as ``polyvigil score`` writes them, with the label that readers will give."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit

from polyvigil.review.scored_posts import read_scored
from polyvigil.review.worklist import WorklistOptions, choose_posts, summarise, write_worklist

Cells = dict[str, str]
WORDS = (
    *("pill", "tired", "sleep", "head", "pain", "rash", "took", "week"),
    *("doctor", "better", "worse", "dose", "stomach", "dizzy", "fine", "again"),
)


def scored_row(
    number: int | str,
    p: float,
    *,
    language: str = "en",
    label: int = 0,
    text: str = "",
    bundle: str = "b1",
    **more: str,
) -> Cells:
    """One row; its text is like no other unless it is given."""
    digest = hashlib.sha256(f"{number}{language}".encode()).digest()
    letters = " ".join(WORDS[byte % 16] + chr(97 + byte % 26) * (byte % 5) for byte in digest[:14])
    flagged = p >= 0.3
    return {
        "id": str(number),
        "text": text or letters,
        "gold": str(label),
        "p": f"{p:.6g}",
        "p_calibrated": f"{p:.6g}",
        "decision": str(int(flagged)),
        "language": language,
        "threshold": "0.3",
        "threshold_source": "own",
        "spread": "0.0",
        "n_tokens": "",
        "truncated": "0",
        "window": "",
        "flags": "",
        "bundle": bundle,
        **more,
    }


def many_rows(n: int, *, seed: int = 0, language: str = "en", shift: float = -3.0, bundle: str = "b1") -> list[Cells]:
    """``n`` rows whose labels are as likely as their P says."""
    random = np.random.default_rng(seed)
    p = np.round(expit(random.normal(shift, 2.2, n)), 6)
    labels = random.random(n) < p
    return [
        scored_row(f"{language}{seed}-{i}", float(p[i]), language=language, label=int(labels[i]), bundle=bundle)
        for i in range(n)
    ]


def write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_csv(path: Path) -> list[Cells]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def decide(worklist: Path, reviewed: Path, *, readers: int = 2) -> Path:
    """Fill a worklist in as the gold labels say; audited ADEs are read by so many people."""
    rows = read_csv(worklist)
    for row in rows:
        row["label"] = row["gold"]
        if row["purpose"] == "audit" and row["gold"] == "1" and readers > 1:
            row["label_2"] = "1"
    return write_rows(reviewed, rows)


def reviewed_worklist(folder: Path, rows: Sequence[Cells], **options: object) -> tuple[Path, Path]:
    """Scored posts in ``folder``, and a worklist of them that is filled in."""
    scored = write_rows(folder / "scored.csv", rows)
    posts, chosen = read_scored([str(scored)]), WorklistOptions(**options)  # type: ignore[arg-type]
    worklist = choose_posts(posts, chosen)
    write_worklist(posts, worklist, summarise(posts, worklist, chosen, output=str(folder / "list.csv")))
    reviewed = decide(folder / "list.csv", folder / "reviewed.csv")
    for name in ("list.csv", "list.csv.manifest.json"):
        (folder / name).unlink()
    return scored, reviewed
