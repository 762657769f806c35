"""``polyvigil review person``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store
from polyvigil.errors import DataError, RecipeError


@command(
    group="review",
    examples=(
        "polyvigil review person review.db ana --role lead",
        "polyvigil review person review.db bo --revoke",
    ),
)
def person(
    out: Output,
    store: StoreLocation,
    name: Annotated[str, typer.Argument(help="The person; without it everybody is listed.")] = "",
    role: Annotated[str, typer.Option("--role", help="reviewer, lead or auditor.")] = "reviewer",
    revoke: Annotated[bool, typer.Option("--revoke", help="End the person's link and sessions at once.")] = False,
    link_file: Annotated[
        str, typer.Option("--link-file", help="Write the secret of the link to this new file, not to stdout.")
    ] = "",
) -> Answer:
    """Add a person and print the secret of their link once; or renew it, list everybody, end somebody's access."""
    if revoke and not name:
        raise RecipeError("whose access is to end?", where="--revoke", hint="name the person")
    with opened_store(store) as opened:
        if not name:
            everybody = opened.people()
            rows = [
                {"id": one.id, "name": one.name, "role": one.role, "revoked_at": one.revoked_at} for one in everybody
            ]
            lines = [
                f"{one.id:>4}  {one.role:<9} {one.name}" + ("  (revoked)" * bool(one.revoked_at)) for one in everybody
            ]
            return Answer({"people": rows}, lines)
        if revoke:
            gone = opened.revoke(name)
            return Answer({"id": gone.id, "revoked_at": gone.revoked_at}, [f"the access of person {gone.id} has ended"])
        if link_file and os.path.lexists(link_file):  # before the older link ends: the secret is told once
            raise DataError("stands there already", where=link_file, hint="name a new file")
        one, secret = opened.add_person(name, role=role)  # type: ignore[arg-type]  # checked there
    data = {"id": one.id, "name": one.name, "role": one.role}
    if link_file:
        _write_secret(link_file, secret)
        out.log(f"the secret of the link is in {link_file}")
        return Answer(data | {"link_file": link_file}, [f"person {one.id} is {one.role}"])
    out.log(f"person {one.id} is {one.role}; the secret of their link is shown this once, then kept by nobody")
    return Answer(data | {"secret": secret}, [secret])


def _write_secret(path: str, secret: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(secret + "\n")
