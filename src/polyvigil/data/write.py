"""Rows to CSV text, and labelled posts to a CSV file of the shared task's schema."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

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


def csv_columns_text(columns: Sequence[Sequence[object]], *, delimiter: str = ",") -> str:
    """``csv_text`` of the same cells column by column, each (n_rows,): text, int, float or None."""
    if len(columns) < 2:  # an empty cell alone is quoted
        return csv_text(zip(*columns, strict=True), delimiter=delimiter)
    cells = [_csv_cells(column, delimiter) for column in columns]
    return "\n".join(map(delimiter.join, zip(*cells, strict=True))) + "\n"


def _csv_cells(column: Sequence[object], delimiter: str) -> Sequence[str]:
    """The cells of a column as they stand in CSV."""
    kinds = {*map(type, column)}
    if kinds != {str}:
        column = _numbers_as_text(column, is_of_one_type=len(kinds) == 1)
    texts = [*cast(Sequence[str], column)]
    marked: set[int] = set()
    whole = "".join(texts)
    for mark in ('"', delimiter, "\n", "\r"):
        if mark in whole:
            marked.update(n for n, text in enumerate(texts) if mark in text)
    for n in marked:
        texts[n] = _quoted(texts[n])
    return texts


def _numbers_as_text(column: Sequence[object], *, is_of_one_type: bool) -> list[str]:
    if is_of_one_type and 0 not in (distinct := {*column}) and len(distinct) < len(column) / 2:  # 0 equals -0.0
        texts = {cell: "" if cell is None else str(cell) for cell in distinct}
        return list(map(texts.__getitem__, column))
    return ["" if cell is None else str(cell) for cell in column]


def _quoted(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'


def write_posts(path: Path, items: Sequence[LabelledPost], *, replace: bool = False) -> None:
    """Write posts as UTF-8 CSV, in their order; ``data.read.read_labelled`` gives them back."""
    posts = ((item.post, item.label) for item in items)
    rows = ((p.id, p.text, label, p.origin, p.type, p.language, p.split, p.group) for p, label in posts)
    write_whole(path, csv_text([COLUMNS, *rows]), replace=replace)
