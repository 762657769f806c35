"""Which column of a file plays which part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from polyvigil.config.data import Role
from polyvigil.errors import DataError

ROLES: tuple[str, ...] = get_args(Role)
_ALIASES = {
    "id": ("post_id", "tweet_id", "doc_id", "document_id", "comment_id", "uid"),
    "text": ("tweet", "post", "body", "content", "message", "sentence", "review", "comment", "full_text"),
    "label": ("labels", "target", "class", "is_ade", "ade", "gold", "y"),
    "language": ("lang", "locale"),
    "type": ("kind", "genre"),
    "origin": ("source", "corpus"),
    "split": ("fold", "subset", "partition"),
    "group": ("group_id", "thread_id", "user_id", "author_id"),
}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """For each part the column that plays it (parts without a column are absent), and what had to be guessed."""

    columns: Mapping[str, str]
    guesses: tuple[str, ...]

    def get(self, role: str) -> str | None:
        """The column that plays ``role``, or None."""
        return self.columns.get(role)


def map_columns(header: Sequence[str], given: Mapping[Role, str], *, required: Sequence[str], where: str) -> ColumnMap:
    """Match the columns of a file with the parts: as given, else by name, else by a usual other name.

    Raises DataError when a given column does not exist or a required part has none.
    """
    columns: dict[str, str] = {}
    guesses = []
    by_lower = {column.lower(): column for column in reversed(header)}
    for role in ROLES:
        if role in given:
            name = given[role]  # type: ignore[index]  # ROLES are the keys of Role
            if name not in header:
                raise DataError(
                    f"there is no column {name!r} (given for {role})",
                    where=where,
                    hint=f"it has {column_list(header)}",
                )
            columns[role] = name
        elif role in by_lower:
            columns[role] = by_lower[role]
        else:
            for alias in _ALIASES[role]:
                if alias in by_lower and by_lower[alias] not in given.values():
                    columns[role] = by_lower[alias]
                    guesses.append(f"column {by_lower[alias]!r} is read as {role}")
                    break
    for role in required:
        if role not in columns:
            raise DataError(
                f"no column for {role}",
                where=where,
                hint=f"it has {column_list(header)}; name it with --column {role}=NAME",
            )
    return ColumnMap(columns, tuple(guesses))


def column_list(columns: Sequence[str]) -> str:
    """The first 12 names, quoted, and how many more there are."""
    shown = ", ".join(repr(column) for column in columns[:12])
    return shown + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
