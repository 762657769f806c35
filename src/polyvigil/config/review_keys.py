"""The single keys of the review pages, as they are or as a user's TOML file says."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Self

from pydantic import model_validator

from polyvigil.config.base import Spec
from polyvigil.errors import RecipeError


class ReviewKeys(Spec):
    """Of each action its key: one character. Backspace undoes too, Space puts off too, whatever stands here."""

    ade: str = "a"
    not_ade: str = "x"
    unsure: str = "s"
    later: str = "j"
    undo: str = "u"
    back: str = "k"
    reporter: str = "1"
    patient: str = "2"
    drug: str = "3"
    event: str = "4"
    serious: str = "!"
    note: str = "n"
    language: str = "l"
    policy: str = "p"
    help: str = "?"

    @model_validator(mode="after")
    def _check(self) -> Self:
        taken: dict[str, str] = {}
        for action, key in self:
            if len(key) != 1 or not key.isprintable() or key.isspace():
                raise ValueError(f"{action}: {key!r} is not one character that a key writes")
            if other := taken.get(key.lower()):
                raise ValueError(f"{action} and {other} have one key, {key!r}")
            taken[key.lower()] = action
        return self

    def actions(self) -> dict[str, str]:
        """Of each key, in lower case, the action: what the script reads."""
        return {key.lower(): action for action, key in self}


def read_review_keys(path: str | Path) -> ReviewKeys:
    """The keys of a TOML file, such as ``ade = "f"``; actions that it does not name keep theirs.

    Raises RecipeError for a file that is none, an action that there is not, and two actions of one key.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = 'give a TOML file with lines such as ade = "f"'
        raise RecipeError(f"no file of keys ({error})", where=str(path), hint=hint) from error
    known = list(ReviewKeys.model_fields)
    for action, key in values.items():
        if action not in known:
            close = difflib.get_close_matches(action, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(known)}"
            raise RecipeError(f"there is no action {action!r}", where=str(path), hint=hint)
        if not isinstance(key, str):
            raise RecipeError(f"{action}: {key!r} is no key in quotes", where=str(path), hint=f'as in {action} = "f"')
    try:
        return ReviewKeys.model_validate(values)
    except ValueError as error:
        message = str(error.errors()[0]["ctx"]["error"]) if hasattr(error, "errors") else str(error)
        hint = "keys that the file does not name keep theirs: give the other action one too"
        raise RecipeError(message, where=str(path), hint=hint) from error
