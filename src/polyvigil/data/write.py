"""Rows to CSV text, and labelled posts to a CSV file of the shared task's schema."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from polyvigil.data.atomic import write_whole
from polyvigil.types import LabelledPost

COLUMNS = ("id", "text", "label", "origin", "type", "language", "split", "group")


class _Lines:
    """Takes the rows of a csv writer; ends each with a line feed alone."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, row: str) -> None:
        self.lines.append(row.removesuffix("\r\n") + "\n")


def csv_text(rows: Iterable[Sequence[object]], *, delimiter: str = ",") -> str:
    """Rows as RFC 4180 text with ``\\n`` at the end of each.

    The writer needs to know that rows end with ``\\r\\n``, for only then does it quote cells that hold a lone ``\\r``.
    """
    taken = _Lines()
    csv.writer(taken, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return "".join(taken.lines)


def write_posts(path: Path, items: Sequence[LabelledPost], *, replace: bool = False) -> None:
    """Write posts as UTF-8 CSV, in their order; ``data.read.read_labelled`` gives them back."""
    posts = ((item.post, item.label) for item in items)
    rows = ((p.id, p.text, label, p.origin, p.type, p.language, p.split, p.group) for p, label in posts)
    write_whole(path, csv_text([COLUMNS, *rows]), replace=replace)
