"""Where the members of a joined bundle come from: ``sources.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polyvigil.bundle import layout, store
from polyvigil.bundle.layout import Sources
from polyvigil.bundle.store import Bundle
from polyvigil.errors import BundleError
from polyvigil.workflows.ensemble_plan import Source


def ensemble_sources(sources: Sequence[Source], kept: Sequence[int]) -> Sources:
    """Of the members at the places ``kept``, counted through all ``sources``.

    Those of a source that was itself joined keep the bundle that they were trained in.
    """
    each = [bundle_sources(source.folder, source.bundle) for source in sources]
    members = [member for record in each for member in record.members]
    chosen = tuple(members[index] for index in kept)
    recipes = {name: text for record in each for name, text in record.recipes.items() if name in chosen}
    return Sources(members=chosen, recipes=dict(sorted(recipes.items())))


def bundle_sources(folder: Path, bundle: Bundle) -> Sources:
    """Of the members of one bundle, joined or not, loaded from ``folder``. Raises BundleError for damaged ones."""
    if layout.SOURCES not in bundle.manifest.files:
        recipe = store.read_document(folder, layout.RECIPE)
        return Sources(members=(bundle.id,) * len(bundle.all_members), recipes={bundle.id: recipe})
    where = str(folder / layout.SOURCES)
    try:
        record = Sources.model_validate_json(store.read_document(folder, layout.SOURCES))
    except ValueError as error:
        raise BundleError("unreadable", where=where, hint="join its sources again") from error
    if len(record.members) != len(bundle.all_members) or not set(record.members) <= record.recipes.keys():
        raise BundleError("it is about other members", where=where, hint="join its sources again")
    return record
