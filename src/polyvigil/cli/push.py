"""``polyvigil push``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Replace
from polyvigil.cli.output import Answer, Output


@command(examples=("polyvigil push BUNDLE org/name", "polyvigil push BUNDLE org/name --public --replace"))
def push(
    out: Output,
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME", help="The repository; made if there is none.")],
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="Everybody may read it: a new repository is public, and one that is so is taken."
        ),
    ] = False,
    replace: Replace = False,
) -> Answer:
    """Push a bundle to the Hugging Face hub, as one commit; it is read from there as hf://ORG/NAME@REVISION.

    Every hash is checked first. A token is needed: hf auth login, or HF_TOKEN. With --replace the bundle that the
    repository holds is replaced; its older commits stay. No text of any post is in a bundle but the examples of a
    judge, and a bundle with such is pushed to no public repository; whoever has a text can see by seen.safetensors
    whether it was among the posts.
    """
    from polyvigil.bundle.hub import HubName, local_names
    from polyvigil.bundle.hub import push as push_bundle

    for setting, value in local_names(bundle):
        out.warn(f"recipe.toml, which is pushed, names a folder of this machine: {setting} = {value}")
    pushed = push_bundle(bundle, repository, public=public, replace=replace, log=out.log)
    name = HubName(repository=pushed.repository, revision=pushed.commit)
    readers = "private" if pushed.private else "public: everybody can read it"
    lines = [
        f"bundle {pushed.bundle} -> {pushed.url}, {pushed.files} files, {pushed.bytes / 1e6:,.1f} MB, {readers}",
        f"next: polyvigil inspect {name}",
    ]
    return Answer(pushed.model_dump(mode="json") | {"name": str(name)}, lines)
