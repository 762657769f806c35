"""A user's list of drugs or reactions: a file with a column ``term`` and, where there are codes, ``code``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyvigil.data.formats import RowError, open_table
from polyvigil.data.read import row_error
from polyvigil.errors import DataError
from polyvigil.text.mentions import Term, folded

_HINT = "the list needs a column term, and may have a column code"


def read_terms(path: str | Path, *, kind: str) -> tuple[Term, ...]:
    """The terms of a CSV, TSV, JSONL or Parquet file, in its order; ``kind`` is ``drug`` or ``reaction``.

    A term that stands there again with the same code is read once. Raises DataError, naming file, line and column, at
    the first row that cannot be used: no term, no letter or digit in it, or one term with two codes.
    """
    terms: list[Term] = []
    lines: dict[tuple[str, ...], tuple[int, str]] = {}
    with open_table(path) as table:
        columns = {column.strip().lower(): column for column in reversed(table.columns)}
        if "term" not in columns:
            header = ", ".join(map(repr, table.columns[:12]))
            raise DataError("no column term", where=table.name, hint=f"{_HINT}; this one has {header}")
        for row in table.rows:
            if isinstance(row, RowError):
                raise row_error(row, table.name)
            text = _text(row.cells.get(columns["term"]))
            code = _text(row.cells.get(columns.get("code", "")))
            key = folded(text)
            if not key:
                raise row_error(
                    RowError(row.line, columns["term"], "no letter or digit" if text else "empty"), table.name
                )
            line, known = lines.setdefault(key, (row.line, code))
            if known != code:
                reason = f"the term of line {line} again, with another code"
                raise row_error(RowError(row.line, columns["code"], reason), table.name)
            if line == row.line:
                terms.append(Term(text, kind, code))
    if not terms:
        raise DataError("holds no terms", where=table.name, hint=_HINT)
    return tuple(terms)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
