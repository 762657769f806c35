"""Which column of a file plays which part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from polyvigil.config.data import DataSpec, Role
from polyvigil.data.shown import shown_name
from polyvigil.errors import DataError

ROLES: tuple[str, ...] = get_args(Role)
_ALIASES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "id": (("post_id", "tweet_id", "doc_id", "document_id", "comment_id", "uid", "id_str"), ("__index_level_0__",)),
    "text": (
        ("full_text",),
        (
            *("tweet", "tweet_text", "post", "post_text", "body", "selftext", "content", "message", "message_text"),
            *("review", "review_text", "reviewtext", "raw_text", "document", "utterance"),
        ),
        ("sentence", "sentences", "comment", "comments", "description"),
    ),
    "label": (("labels", "target", "class", "is_ade", "ade", "adr", "gold", "y"),),
    "language": (("lang", "locale", "language_code"),),
    "type": (("kind", "genre"),),
    "origin": (("source", "corpus"),),
    "split": (("fold", "subset", "partition"),),
    "group": (("group_id", "thread_id", "user_id", "author_id"),),
    "purpose": (),
    "inclusion_p": (),
}
"""Other usual names of each part, in tiers: one of a later tier is taken only where none of an earlier one stands."""
_MUST_BE_ONE = ("text", "label")
"""Parts for which two names of one tier are ambiguous; of others the first is taken."""
_PREFERRED = {"text": "full_text"}
"""A name that is better than the part's own: beside it, ``text`` is a tweet that was cut."""
NAMES_OF = {role: frozenset((role, *(name for tier in tiers for name in tier))) for role, tiers in _ALIASES.items()}
"""For each part the names that are known for it, in lower case."""
KNOWN_NAMES = frozenset().union(*NAMES_OF.values())
"""Every name that is known for a column, in lower case."""


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """For each part the column that plays it (parts without a column are absent), and what had to be guessed."""

    columns: Mapping[str, str]
    guesses: tuple[str, ...]

    def get(self, role: str) -> str | None:
        """The column that plays ``role``, or None."""
        return self.columns.get(role)


def map_columns(
    header: Sequence[str],
    spec: DataSpec,
    *,
    required: Sequence[str],
    where: str,
    derived: Sequence[str] = (),
) -> ColumnMap:
    """Match the columns of a file with the parts: as given, else as a bundle was trained, else as an export gives them
    (``Table.derived``), else by name, else by a usual other name.

    ``where``: the name of the file, for messages and for what ``spec`` says of that file alone.

    Raises DataError when a given column does not exist, a required part has none, or several may be the text or the
    label.
    """
    columns: dict[str, str] = {}
    guesses = []
    given = spec.columns_of(where)
    from_export = {name.partition(":")[2]: name for name in derived}
    for role in get_args(Role):
        if role in given:
            columns[role] = _given(given[role], header, role=role, where=where)
        elif role in spec.trained_columns and _has(header, spec.trained_columns[role]):
            columns[role] = spec.trained_columns[role]
            if columns[role] != role:
                guesses.append(f"column {shown_name(columns[role])} is read as {role}, as when the bundle was trained")
        elif role in from_export:
            columns[role] = from_export[role]
        elif role in _by_name(header) and not _is_outdone(role, header):
            columns[role] = _by_name(header)[role]
        elif candidates := _by_alias(header, role, taken=given.values()):
            if len(candidates) > 1 and role in _MUST_BE_ONE and role in required:
                raise _ambiguous(role, candidates, where)
            columns[role] = candidates[0]
            guesses.append(f"column {shown_name(candidates[0])} is read as {role}")
    for role in required:
        if role not in columns:
            raise _missing(role, header, where)
    return ColumnMap(columns, tuple(guesses))


def column_list(columns: Sequence[str]) -> str:
    """The first 12 names, quoted, and how many more there are."""
    shown = ", ".join(map(shown_name, columns[:12]))
    return shown + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")


def _given(name: str, header: Sequence[str], *, role: str, where: str) -> str:
    """The column that a user names, by its path too (``data.text``)."""
    if not _has(header, name):
        raise DataError(
            f"there is no column {shown_name(name)} (given for {role})",
            where=where,
            hint=f"it has {column_list(header)}; of one file alone: --column FILE:{role}=NAME",
        )
    return name


def _has(header: Sequence[str], name: str) -> bool:
    return name in header or any(name.startswith(f"{column}.") for column in header)


def _by_name(header: Sequence[str]) -> Mapping[str, str]:
    """Names in lower case -> columns; an exact name before one in other case."""
    return {column.lower(): column for column in reversed(header)} | {column: column for column in header}


def _is_outdone(role: str, header: Sequence[str]) -> bool:
    return role in _PREFERRED and _PREFERRED[role] in _by_name(header)


def _by_alias(header: Sequence[str], role: str, *, taken: Iterable[str]) -> list[str]:
    """The columns of the first tier of usual names that the file has."""
    names = _by_name(header)
    for tier in _ALIASES[role]:
        if candidates := [names[alias] for alias in tier if alias in names and names[alias] not in taken]:
            return candidates
    return []


def _ambiguous(role: str, candidates: Sequence[str], where: str) -> DataError:
    choices = " or ".join(f"--column {role}={column}" for column in candidates)
    return DataError(
        f"{len(candidates)} columns may hold the {role}: {column_list(candidates)}",
        where=where,
        hint=f"say which: {choices}",
    )


def _missing(role: str, header: Sequence[str], where: str) -> DataError:
    if not any(column.strip().lower() in KNOWN_NAMES for column in header):
        advice = f"; if the first line is a post already: --no-header --column {role}=NUMBER"
    else:
        advice = ""
    return DataError(
        f"no column for {role}",
        where=where,
        hint=f"it has {column_list(header)}; name it with --column {role}=NAME{advice}",
    )
