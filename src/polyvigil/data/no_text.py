"""A file in which no row has a text: what to say, and which other column may be the one that was meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import regex

from polyvigil.data.shown import is_showable, shown_column
from polyvigil.errors import DataError

_ROWS = 1000
_WORDS = regex.compile(r"\p{L}+\W+\p{L}+\W+\p{L}+|[\p{Han}\p{Hiragana}\p{Katakana}]{6}")
_SHARE = 0.5  # of the rows that hold sentences, in a column that may be meant


def no_text_error(rows: Iterable[Mapping[str, Any]], *, column: str, posts: int, where: str) -> DataError:
    """The error for a file whose posts are all empty or placeholders. ``rows``: its cells, of which some are read."""
    return DataError(
        f"no post has a text: {shown_column(column)} is empty in all {posts:,} rows, or says that the text is missing",
        where=where,
        hint=_hint(list(islice(rows, _ROWS)), column),
    )


def _hint(rows: list[Mapping[str, Any]], column: str) -> str:
    """The columns with sentences in them, or that there is none."""
    names = dict.fromkeys(name for cells in rows for name in cells if name != column)
    counts = {name: sum(_has_sentence(cells.get(name)) for cells in rows) for name in names}
    likely = [name for name, number in counts.items() if number > _SHARE * len(rows)]
    if not likely:
        return "no other column holds sentences; look at how the file was written"
    option = likely[0] if is_showable(likely[0]) else "NAME"
    return f"{shown_column(likely[0])} holds sentences: --column text={option}"


def _has_sentence(cell: Any) -> bool:
    return isinstance(cell, str) and _WORDS.search(cell[:1000]) is not None
