"""What every member's loader does with the JSON file of ours: read it, and say what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from polyvigil.errors import BundleError, PolyvigilError
from polyvigil.text.normalise import NORMALISATION

C = TypeVar("C", bound=BaseModel)


def read_config(path: Path, config: type[C], *, what: str) -> C:
    """The ``config`` that stands in ``path``, of ``what`` (a linear detector, say).

    Raises BundleError when it is damaged or its field ``normalisation`` names another than this version's.
    """
    try:
        parsed = config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise unreadable(path.parent, error, what=what) from error
    normalisation = getattr(parsed, "normalisation", NORMALISATION)
    if normalisation != NORMALISATION:
        raise BundleError(
            f"made with normalisation {normalisation!r}; this version of polyvigil has {NORMALISATION!r}",
            where=str(path),
            hint="score it with the version that made it, or train it again",
        )
    return parsed


def unreadable(folder: Path, error: Exception, *, what: str) -> BundleError:
    """The error for a member's folder that cannot be read, because of ``error``."""
    reason = error.message if isinstance(error, PolyvigilError) else type(error).__name__
    return BundleError(
        f"not a readable {what} ({reason})",
        where=str(folder),
        hint="copy the bundle again from where it was made, or train it again",
    )
