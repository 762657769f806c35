"""The columns of a file that its posts are sliced by (``evaluate --by``), and which columns are refused.

A slice needs a column of few kinds of value. Refused are: a column that does not exist, the ones that play the parts
text, label and language, a column that repeats post text, and one whose values hardly ever come twice. So no post text
stands in what is printed or written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import ColumnMap, column_list, map_columns
from polyvigil.data.kept_rows import column_cells, column_names
from polyvigil.data.packed_posts import field_of, posts_of
from polyvigil.data.packed_strings import StringColumn
from polyvigil.data.read import Reading, cell_text
from polyvigil.data.shown import shown_column
from polyvigil.errors import DataError
from polyvigil.evaluation.slices import Column

MOST_DISTINCT = 1_000
NEARLY_ALL = 0.9
_EXCERPT = 20  # characters; shorter ones, as a name, may well stand in a post too
_FEW_POSTS = 20  # below, a column may well have one value per post

_REFUSED_ROLES = {
    "text": (
        "it holds the posts, and no text of a post may stand in a report",
        "slice by another column: {other_columns}",
    ),
    "label": ("it holds the labels, which is what is measured against", "slice by another column: {other_columns}"),
    "language": ("the main table has a row for each language already", "leave --by {name} out"),
}


def columns_to_slice(reading: Reading, names: Sequence[str], spec: DataSpec) -> tuple[Column, ...]:
    """The cells of the columns with these ``names``, in the order of the posts of ``reading``.

    A name is that of a column, in any case, or of a part that a column plays (type, origin). The same column named
    twice stands there once. Raises DataError for a column that cannot be sliced by, saying what to do.
    """
    if not names:
        return ()
    header = column_names(reading.rows)
    roles = map_columns(header, spec, required=(), where=reading.name)
    resolved = dict.fromkeys(_resolve(name, header, roles, reading.name) for name in names)
    return tuple(_column(name, reading, roles, header) for name in resolved)


def _resolve(name: str, header: Sequence[str], roles: ColumnMap, file: str) -> str:
    lower = {column.lower(): column for column in reversed(header)}
    column = name if name in header else lower.get(name.lower()) or roles.get(name)
    if column is None:
        raise DataError(
            f"there is no column {name!r} to slice by", where=file, hint=f"it has {column_list(header)}: --by NAME"
        )
    return column


def _column(name: str, reading: Reading, roles: ColumnMap, header: Sequence[str]) -> Column:
    where = f"{reading.name}, {shown_column(name)}"
    reserved = {roles.get(role) for role in _REFUSED_ROLES} | {roles.get("id")}
    other_columns = column_list([column for column in header if column not in reserved]) or "there is none"
    for role, (reason, hint) in _REFUSED_ROLES.items():
        if roles.get(role) == name:
            raise DataError(
                f"cannot be sliced by: {reason}", where=where, hint=hint.format(name=name, other_columns=other_columns)
            )
    cells = StringColumn(cell_text(cell).strip() for cell in column_cells(reading.rows, name))
    _check_text(cells, reading, where, other_columns)
    _check_distinct(cells, where, other_columns)
    return Column(name, np.array(list(cells), dtype=np.str_))


def _check_text(cells: Sequence[str], reading: Reading, where: str, other_columns: str) -> None:
    """Raise DataError where cells repeat the text of their post: 20 characters of it anywhere, or most short texts."""
    excerpts = equal = filled = 0
    for cell, text in zip(cells, map(str.strip, field_of(posts_of(reading.posts), "text")), strict=True):
        if cell:
            filled += 1
            excerpts += min(len(cell), len(text)) >= _EXCERPT and (cell in text or text in cell)
            equal += cell == text
    if excerpts or 2 * equal > filled:
        raise DataError(
            f"cannot be sliced by: {max(excerpts, equal):,} of {len(cells):,} cells repeat the text of their post",
            where=where,
            hint=f"slice by another column: {other_columns}",
        )


def _check_distinct(cells: Sequence[str], where: str, other_columns: str) -> None:
    posts = Counter(cells)
    filled = posts.total() - posts.pop("", 0)
    distinct = len(posts)
    if distinct > MOST_DISTINCT or (distinct > _FEW_POSTS and distinct >= NEARLY_ALL * filled):
        raise DataError(
            f"cannot be sliced by: it has {distinct:,} distinct values in {filled:,} posts",
            where=where,
            hint="slice by a column with fewer values, or write such a one (years for dates, say); it "
            f"has {other_columns}",
        )
