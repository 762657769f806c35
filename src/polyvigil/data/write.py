"""Labelled posts to a CSV file of the shared task's schema."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from polyvigil.data.atomic import write_whole
from polyvigil.records import LabelledPost

COLUMNS = ("id", "text", "label", "origin", "type", "language", "split", "group")


def write_posts(path: Path, items: Sequence[LabelledPost]) -> None:
    """Write posts as UTF-8 CSV, in their order; ``data.read.read_labelled`` gives them back."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        post = item.post
        writer.writerow((post.id, post.text, item.label, post.origin, post.type, post.language, post.split, post.group))
    write_whole(path, text.getvalue())
