"""Where the members of a joined bundle come from: ``sources.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polyvigil.bundle import layout, store
from polyvigil.bundle.layout import Sources
from polyvigil.bundle.store import Bundle
from polyvigil.errors import BundleError
from polyvigil.workflows.ensemble_plan import Source


def origins(sources: Sequence[Source], kept: Sequence[int]) -> Sources:
    """Of the members at the places ``kept``, counted through all ``sources``.

    Those of a source that was itself joined keep the bundle that they were trained in.
    """
    each = [origins_of(source.folder, source.bundle) for source in sources]
    members = [member for told in each for member in told.members]
    chosen = tuple(members[place] for place in kept)
    recipes = {name: text for told in each for name, text in told.recipes.items() if name in chosen}
    return Sources(members=chosen, recipes=dict(sorted(recipes.items())))


def origins_of(folder: Path, bundle: Bundle) -> Sources:
    """Of the members of one bundle, joined or not, loaded from ``folder``. Raises BundleError for damaged ones."""
    if layout.SOURCES not in bundle.manifest.files:
        recipe = store.read_document(folder, layout.RECIPE)
        return Sources(members=(bundle.id,) * len(bundle.members), recipes={bundle.id: recipe})
    where = str(folder / layout.SOURCES)
    try:
        told = Sources.model_validate_json(store.read_document(folder, layout.SOURCES))
    except ValueError as error:
        raise BundleError("unreadable", where=where, hint="join its sources again") from error
    if len(told.members) != len(bundle.members) or not set(told.members) <= told.recipes.keys():
        raise BundleError("it is about other members", where=where, hint="join its sources again")
    return told
