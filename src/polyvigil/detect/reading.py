"""What every member's loader does with the JSON file of ours: read it, and say what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from polyvigil.errors import BundleError, PolyvigilError
from polyvigil.text.normalise import NORMALISATIONS

C = TypeVar("C", bound=BaseModel)


def read_config(path: Path, config: type[C], *, what: str) -> C:
    """The ``config`` that stands in ``path``, of ``what`` (a linear detector, say).

    Raises BundleError when it is damaged or its field ``normalisation`` names one that this version does not have.
    """
    try:
        parsed = config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise unreadable(path.parent, error, what=what) from error
    if (normalisation := getattr(parsed, "normalisation", None)) is not None:
        check_made_with("normalisation", normalisation, known=NORMALISATIONS, where=path)
    return parsed


def check_made_with(what: str, stored: str, *, known: Sequence[str], where: Path) -> None:
    """Raise BundleError where ``stored``, read from the file ``where``, is none of those ``known`` to this version."""
    if stored not in known:
        raise BundleError(
            f"made with {what} {stored!r}; this version of polyvigil has {' and '.join(map(repr, known))}",
            where=str(where),
            hint="score it with the version that made it, or train it again",
        )


def unreadable(folder: Path, error: Exception, *, what: str) -> BundleError:
    """The error for a member's folder that cannot be read, because of ``error``."""
    reason = error.message if isinstance(error, PolyvigilError) else type(error).__name__
    return BundleError(
        f"not a readable {what} ({reason})",
        where=str(folder),
        hint="copy the bundle again from where it was made, or train it again",
    )
