"""The token that clients send: from a file or the environment, never from the command line, which others can see."""

from __future__ import annotations

import os
from pathlib import Path

from polyvigil.config.serve import ServeSpec
from polyvigil.errors import RecipeError
from polyvigil.web.hosts import is_loopback

VARIABLE = "POLYVIGIL_TOKEN"
_SHORTEST = 32
_MAKE = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def check_token(token: str, *, where: str) -> None:
    """Raise RecipeError for a token that can be guessed or cannot be sent."""
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise RecipeError(
            f"a token has at least {_SHORTEST} printable ASCII characters and no space", where=where, hint=_MAKE
        )


def read_token(token_file: str) -> str:
    """The token in a file, else in the environment variable POLYVIGIL_TOKEN; empty without both. Raises RecipeError."""
    if token_file:
        try:
            token = Path(token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"unreadable ({type(error).__name__})", where=token_file, hint=_MAKE) from error
        check_token(token, where=token_file)
        return token
    token = os.environ.get(VARIABLE, "").strip()
    if token:
        check_token(token, where=VARIABLE)
    return token


def check_exposed(spec: ServeSpec, token: str) -> None:
    """Raise RecipeError where others could reach the service without a token, and nobody said they may."""
    if not token and not is_loopback(spec.host) and not spec.insecure:
        raise RecipeError(
            f"everybody who can reach {spec.host} could have posts scored",
            where="--host",
            hint=f"give --token-file FILE or {VARIABLE}; or say --insecure. {_MAKE}",
        )
