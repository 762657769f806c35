"""What the commands of ``polyvigil review`` share: the store they are given, opened, and the errors of its options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.errors import require

if TYPE_CHECKING:
    from polyvigil.review.store import Store

StoreLocation = Annotated[
    str, typer.Argument(metavar="STORE", help="A file, or postgresql://user@host/name (password: PGPASSWORD).")
]


@contextmanager
def opened_store(location: str, *, create: bool = False) -> Iterator[Store]:
    """The store, open. Raises RecipeError where the libraries of the extra are missing, and as review.open_store."""
    require("sqlalchemy", "alembic", extra="review", needed_by="polyvigil review")
    from polyvigil.review.store import open_store

    with open_store(location, create=create) as store:
        yield store
