"""The language of each post of a file: what its column says, else what the user says, else what its text looks like.

In come cells and texts; out go groups, and what to tell of them: which spellings were read as which language. Of posts
without a language it is detected, and short ones lean on the mix of languages in the first rows of their file. The mix
depends on those rows alone, so that a file is read alike whole, in parts, and by any number of workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain
from typing import NamedTuple, TypeVar

from polyvigil.errors import RecipeError
from polyvigil.text.language import (
    NO_PRIOR,
    UNDETERMINED,
    LanguagePrior,
    base_language,
    detect_languages,
    estimate_prior,
    language_group,
    standard_group,
)
from polyvigil.text.normalise import model_text, no_text_reason
from polyvigil.types import Frozen

HEAD_ROWS = 1000
"""Rows from which the mix of languages of a file is estimated."""
_HEAD_CHARACTERS = 4_000_000
_DISTINCT = 500  # spellings that are counted; a column with more holds no languages

R = TypeVar("R")


class HeadRow(NamedTuple):
    """Text and language of one of the first rows, as they stand there."""

    text: str
    language: str


class FileLanguages:
    """Finds the language of each row of one file."""

    def __init__(self, head: Callable[[], Iterable[HeadRow]], *, default: str = "") -> None:
        """``head``: called for the first rows when a language must be detected. ``default``: of rows without one.

        Raises RecipeError for a ``default`` that is no language.
        """
        self._head = head
        self.default = checked_language(default)

    @cached_property
    def prior(self) -> LanguagePrior:
        """The mix of languages in the first rows."""
        texts: list[str] = []
        given: Counter[str] = Counter()
        for row in self._head():
            try:
                language = standard_group(row.language)
            except ValueError:
                continue
            if language != UNDETERMINED:
                given[base_language(language)] += 1
            elif not no_text_reason(text := model_text(row.text)):
                texts.append(text)
        return estimate_prior(texts, given) if texts or given else NO_PRIOR

    def group(self, given: str, text: str, *, type: str, id: str) -> RowLanguage:
        """The group of a row. Raises ValueError where ``given`` is no language."""
        group = language_group(given, type=type, id=id)
        if group != UNDETERMINED:
            return RowLanguage(group, detected=False)
        if self.default:
            return RowLanguage(language_group(self.default, type=type, id=id), detected=False)
        language = detect_languages([model_text(text)], self.prior)[0]
        return RowLanguage(language_group(language, type=type, id=id), detected=True)


class RowLanguage(NamedTuple):
    """The language group of a row, and whether it was detected."""

    group: str
    detected: bool


def checked_language(language: str) -> str:
    """The setting ``data.language`` as a code, empty where there is none. Raises RecipeError for no language."""
    try:
        group = standard_group(language)
    except ValueError as error:
        raise RecipeError(
            f"{language!r} is not a language", where="data.language", hint="give a code or a name, as --language en"
        ) from error
    return "" if group == UNDETERMINED else group


def first_rows(rows: Iterator[R], size: Callable[[R], int]) -> tuple[list[R], Iterator[R]]:
    """The first rows of a file, and all of its rows. ``size``: the characters of a row; memory is bounded by them."""
    head: list[R] = []
    characters = 0
    for row in rows:
        head.append(row)
        characters += size(row)
        if len(head) >= HEAD_ROWS or characters >= _HEAD_CHARACTERS:
            break
    return head, chain(head, rows)


class LanguageSpelling(Frozen):
    """How a file writes a language, the group it is read as, and of how many rows."""

    given: str
    language: str
    rows: int


class LanguageSpellings:
    """Counts how the rows of a file write their languages."""

    def __init__(self) -> None:
        self._rows: Counter[tuple[str, str]] = Counter()

    def add(self, given: str, *, rows: int = 1) -> None:
        """Count a row that says ``given``, a language by any name or none."""
        key = (given, standard_group(given))
        if given and (key in self._rows or len(self._rows) < _DISTINCT):
            self._rows[key] += rows

    def add_all(self, spellings: Iterable[LanguageSpelling]) -> None:
        """Add those of a later span of the same file."""
        for spelling in spellings:
            self.add(spelling.given, rows=spelling.rows)

    @property
    def spellings(self) -> tuple[LanguageSpelling, ...]:
        """All of it as data, which ``add_all`` takes again."""
        return tuple(
            LanguageSpelling(given=given, language=language, rows=rows)
            for (given, language), rows in self._rows.items()
        )

    def messages(self, name: str, *, default: str = "") -> list[str]:
        """One line that says which spellings are read as which language, and one where ``default`` was contradicted."""
        read: dict[str, list[str]] = {}
        for (given, language), rows in self._rows.most_common():
            if given.lower() not in {language, base_language(language)}:
                where = "none given" if language == UNDETERMINED else language
                read.setdefault(where, []).append(f"{given!r} ({rows:,} rows)")
        parts = [f"{_few(spellings)} as {language}" for language, spellings in read.items()]
        lines = [f"{name}: languages are read by their standard code: {'; '.join(parts[:8])}"] if parts else []
        code = base_language(checked_language(default))
        contradicting: Counter[str] = Counter()
        for (_, language), rows in self._rows.items():
            if base_language(language) not in {code, UNDETERMINED}:
                contradicting[language] += rows
        if code and contradicting.total():
            languages = ", ".join(language for language, rows in contradicting.most_common(5))
            lines.append(
                f"{name}: the column of languages says other than {code} for "
                f"{contradicting.total():,} rows ({languages}), and is followed there"
            )
        return lines


def _few(spellings: list[str]) -> str:
    more = f" and {len(spellings) - 6} more" if len(spellings) > 6 else ""
    return ", ".join(spellings[:6]) + more
