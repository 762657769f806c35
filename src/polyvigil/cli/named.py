"""Options of the form ``NAME=VALUE``, each several times: by name; and shares of ADEs, by language or of all."""

from __future__ import annotations

from collections.abc import Sequence

from polyvigil.errors import RecipeError


def named_values(given: Sequence[str] | None, option: str, *, alone: bool = False) -> dict[str, str]:
    """``NAME=VALUE`` by name; with ``alone`` a value by itself too, under an empty name. Raises RecipeError."""
    values: dict[str, str] = {}
    for one in given or ():
        name, equals, value = one.rpartition("=")
        if not value or (not name and (equals or not alone)):
            raise RecipeError(
                f"{one!r} is not NAME=VALUE", where=option, hint="as de=50" if not alone else "as fa=0.01"
            )
        values[name] = value
    return values


def prevalences(given: Sequence[str] | None) -> dict[str, float]:
    """The shares of ``--prevalence``: by language, under an empty name that of all others. Raises RecipeError for what
    is no number."""
    return {name: _share(name, value) for name, value in named_values(given, "--prevalence", alone=True).items()}


def _share(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        shown = f"{name}={value}" if name else value
        raise RecipeError(f"{shown!r}: {value!r} is no number", where="--prevalence", hint="as 0.02") from error
