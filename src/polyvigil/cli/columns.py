"""``--column``: which column plays which part, in all files or in one of them.

In come ``text=tweet`` and ``train.csv:label=gold``; out go settings of ``[data]``. A file is named by its path or the
end of it, and must be among what the command reads.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyvigil.errors import DataError, RecipeError

_EXAMPLE = "for example --column text=tweet, or of one file alone --column train.csv:label=gold"
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """What ``--column`` says: of all files, and of each file that is named, the column of each part."""

    columns: Mapping[str, str]
    file_columns: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, options: Sequence[str], arguments: Sequence[str]) -> ColumnOptions:
        """``arguments``: what else the command line holds, its files among them.

        Raises RecipeError for an option of another form, an unknown part of a file, and a file that is not read.
        """
        columns: dict[str, str] = {}
        file_columns: dict[str, dict[str, str]] = {}
        for option in options:
            file, role, name = _divided(option, arguments)
            if file:
                file_columns.setdefault(file, {})[role] = name
            else:
                columns[role] = name
        return cls(columns, file_columns)

    def settings(self) -> list[str]:
        """The same as settings, ``data.columns.text="tweet"``."""
        settings = [f"data.columns.{role}={_quoted(name)}" for role, name in self.columns.items()]
        if not self.file_columns:
            return settings
        files = (
            f"{_quoted(file)}={{{', '.join(f'{role}={_quoted(name)}' for role, name in columns.items())}}}"
            for file, columns in self.file_columns.items()
        )
        return [*settings, f"data.file_columns={{{', '.join(files)}}}"]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _divided(option: str, arguments: Sequence[str]) -> tuple[str, str, str]:
    """File (empty for all), part and column of ``FILE:PART=NAME``; a name of a file may hold ``=`` and ``:`` itself."""
    from polyvigil.data.columns import ROLES

    role, equals, name = option.partition("=")
    if ":" not in role:
        for match in re.finditer(rf":({'|'.join(ROLES)})=", option):
            file = option[: match.start()]
            if option[match.end() :] and _is_read(file, arguments):
                return file, match[1], option[match.end() :]
    if not equals or not role or not name:
        raise RecipeError(f"--column {option!r} is not part=NAME", hint=_EXAMPLE)
    file, colon, role = role.rpartition(":")
    if colon and (not file or role not in ROLES):
        raise RecipeError(f"--column {option!r}: {role!r} is no part", hint=f"parts are {', '.join(ROLES)}; {_EXAMPLE}")
    if file and not _is_read(file, arguments):
        files = [*dict.fromkeys(_files(arguments))]
        more = f" and {len(files) - _MOST_NAMED} more" if len(files) > _MOST_NAMED else ""
        raise RecipeError(
            f"--column {option!r}: no input is called {file!r}",
            hint=f"the inputs are {', '.join(files[:_MOST_NAMED])}{more}" if files else "name the file to read",
        )
    return file, role, name


def _is_read(file: str, arguments: Sequence[str]) -> bool:
    """Whether a file is among those that the command line names."""
    from polyvigil.config.data import names_file

    return any(names_file(file, name) for name in (*arguments, *_files(arguments)))


def _files(arguments: Sequence[str]) -> Iterator[str]:
    """The files of posts that the command line names: themselves, in folders, by globs."""
    from polyvigil.bundle.layout import MANIFEST
    from polyvigil.data.formats import promised_format
    from polyvigil.data.inputs import find_inputs

    for argument in arguments:
        path = Path(argument)
        if path.is_file() and promised_format(path):
            yield argument
        elif (path.is_dir() and not (path / MANIFEST).exists()) or (glob.has_magic(argument) and not path.exists()):
            try:
                yield from (given.path for given in find_inputs([argument]).files)
            except DataError:  # no input, or one that its reader refuses
                continue
