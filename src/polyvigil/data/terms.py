"""A user's list of drugs or reactions: a file with a column ``term`` and, where there are codes, ``code``; of drugs the
column ``ingredient`` too, which one list for all uses may have beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyvigil.data.formats import RowError, open_table
from polyvigil.data.read import row_error
from polyvigil.errors import DataError
from polyvigil.text.mentions import Term, folded

_HINT = "the list needs a column term, and may have a column code"
_INGREDIENTS_HINT = "the list needs a column term (or name), and a column ingredient"
_LONGEST_INGREDIENT = 200  # characters


def read_terms(path: str | Path, *, kind: str) -> tuple[Term, ...]:
    """The terms of a CSV, TSV, JSONL or Parquet file, in its order; ``kind`` is ``drug`` or ``reaction``.

    A term that stands there again with the same code is read once. Raises DataError, naming file, line and column, at
    the first row that cannot be used: no term, no letter or digit in it, or one term with two codes.
    """
    return _read(path, kind=kind, names=("term",), value="code", hint=_HINT)


def read_ingredients(path: str | Path) -> tuple[Term, ...]:
    """The drugs of such a file, each with what stands in its column ``ingredient`` as the term's code; their column is
    ``term`` or ``name``.

    A drug without an ingredient is one itself; where it holds another's name it keeps that from being taken for it.
    Raises DataError as ``read_terms``, and where no row has an ingredient or one is longer than 200 characters.
    """
    terms = _read(path, kind="drug", names=("term", "name"), value="ingredient", hint=_INGREDIENTS_HINT)
    if not any(term.code for term in terms):
        raise DataError("holds no ingredients", where=str(path), hint=_INGREDIENTS_HINT)
    return terms


def _read(path: str | Path, *, kind: str, names: tuple[str, ...], value: str, hint: str) -> tuple[Term, ...]:
    """The terms, in the first of the columns ``names`` that is there, with what the column ``value`` says of each."""
    terms: list[Term] = []
    lines: dict[tuple[str, ...], tuple[int, str]] = {}
    with open_table(path) as table:
        columns = {column.strip().lower(): column for column in reversed(table.columns)}
        given = next((name for name in names if name in columns), "")
        header = ", ".join(map(repr, table.columns[:12]))
        if not given:
            raise DataError(f"no column {names[0]}", where=table.name, hint=f"{hint}; this one has {header}")
        if value == "ingredient" and value not in columns:
            raise DataError(f"no column {value}", where=table.name, hint=f"{hint}; this one has {header}")
        for row in table.rows:
            if isinstance(row, RowError):
                raise row_error(row, table.name)
            text = _text(row.cells.get(columns[given]))
            code = _text(row.cells.get(columns.get(value, "")))
            key = folded(text)
            if not key:
                reason = "no letter or digit" if text else "empty"
                raise row_error(RowError(row.line, columns[given], reason), table.name)
            if value == "ingredient" and len(code) > _LONGEST_INGREDIENT:
                reason = f"longer than {_LONGEST_INGREDIENT} characters"
                raise row_error(RowError(row.line, columns[value], reason), table.name)
            line, known = lines.setdefault(key, (row.line, code))
            if known != code:
                reason = f"the term of line {line} again, with another {value}"
                raise row_error(RowError(row.line, columns[value], reason), table.name)
            if line == row.line:
                terms.append(Term(text, kind, code))
    if not terms:
        raise DataError("holds no terms", where=table.name, hint=hint)
    return tuple(terms)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
