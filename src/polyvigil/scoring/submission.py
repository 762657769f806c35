"""A submission to the shared task: a zip holding one CSV at its top, one row for each id of the test file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyvigil.bundle.outputs import OutputKind, check_output
from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.data.atomic import whole_file
from polyvigil.data.columns import map_columns
from polyvigil.data.formats import RowError, open_table
from polyvigil.data.no_text import no_text_error
from polyvigil.data.read import read_rows, row_error
from polyvigil.data.shown import shown_value
from polyvigil.errors import DataError
from polyvigil.evaluation.official import predictions_csv
from polyvigil.scoring.wire import score_posts
from polyvigil.text.normalise import MISSING_TEXT, model_text, no_text_reason
from polyvigil.types import Frozen, Post

MEMBER = "predictions.csv"
_CHUNK_POSTS = 2000
_HEAD_ROWS = 1000


def _is_submission(path: Path) -> bool:
    """Whether a file is a zip that holds predictions and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist() == [MEMBER]
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


SUBMISSION = OutputKind("submission", _is_submission)


class Submission(Frozen):
    """What was written."""

    bundle: str
    posts: int
    flagged: int
    member: str
    notes: tuple[str, ...]


def write_submission(
    bundle: Bundle,
    source: str,
    output: Path,
    *,
    spec: DataSpec,
    split: str = "",
    replace: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Submission:
    """Decide on every post of ``source``, as they are read; ``progress`` is told how many are done.

    Raises DataError for a row that cannot be read, an id missing or given twice: a submission must answer every id
    once, so nothing is set aside here; and for a file in which no post has a text.
    """
    check_output(output, SUBMISSION, replace=replace, inputs=[source])
    waiting: list[Post] = []
    flags: list[bool] = []
    head: list[Mapping[str, Any]] = []
    lines: dict[str, int] = {}
    missing = 0

    def decide() -> None:
        nonlocal missing
        missing += sum(no_text_reason(model_text(post.text, bundle.normalisation)) in MISSING_TEXT for post in waiting)
        flags.extend(bool(decision.decision) for decision in score_posts(bundle, waiting))
        waiting.clear()
        progress(len(flags))

    with open_table(source, spec) as table:
        required = ("id", "text", *(("split",) if split else ()))
        columns = map_columns(table.columns, spec, required=required, where=table.name, derived=table.derived)
        for item in read_rows(table, columns, spec, labelled=False):
            if isinstance(item, RowError):
                raise row_error(item, table.name)
            if split and item.post.split != split:
                continue
            where = f"{table.name}:{item.row.line}"
            if not str(item.row.cell(columns.columns["id"]) or "").strip():
                raise DataError("the id is empty", where=where, hint="give every row its id")
            if item.post.id in lines:
                raise DataError(
                    f"id {shown_value(item.post.id)} stands twice, first at line {lines[item.post.id]}",
                    where=where,
                    hint="give each id one row",
                )
            lines[item.post.id] = item.row.line
            waiting.append(item.post)
            if len(head) < _HEAD_ROWS:
                head.append(item.row.cells)
            if len(waiting) == _CHUNK_POSTS:
                decide()
        name, notes = table.name, (*table.notes, *columns.guesses, *table.late_notes())
    if not lines:
        raise DataError("no post to answer" + (f" in split {split!r}" if split else ""), where=name)
    decide()
    if missing == len(lines):
        raise no_text_error(head, column=columns.columns["text"], posts=len(lines), where=name)
    text = predictions_csv(list(lines), flags)
    with whole_file(output, replace=replace) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER, date_time=(1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return Submission(bundle=bundle.id, posts=len(flags), flagged=sum(flags), member=MEMBER, notes=notes)
