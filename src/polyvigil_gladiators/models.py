"""Where the models stand: a folder named as on the hub, or the hub itself; and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from polyvigil.errors import RecipeError, install_command
from polyvigil.nn.source import folder_version, model_folder, needs_fetching

_EXTRAS = {"gliner2": "zero-shot", "fugashi": "ja", "unidic_lite": "ja"}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """``folder`` holds models in folders named by the last part of their name on the hub; what is not there is fetched
    from the hub where ``hub`` says so."""

    folder: Path | None
    hub: bool


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its name on the hub. ``source``: the folder, or the name; ``version``: empty while it has yet to be
    fetched; ``missing``: why it cannot be used."""

    name: str
    source: str = ""
    version: str = ""
    missing: str = ""


def find(name: str, models: ModelFolder, *, fetch: bool, files: Sequence[str] = ()) -> Model:
    """The model ``name``, of which ``files`` are fetched (nn.source.model_folder).

    ``fetch``: one that is neither on the shelf nor fetched before is fetched now.
    """
    if absent := lacking(()):
        return Model(name, missing=absent)
    folder = models.folder / _last(name) if models.folder else None
    if folder and folder.is_dir():
        return _checked(name, str(folder), fetch=False, files=files)
    requirement = (
        f"needs {_last(name)} in {models.folder}" if models.folder else f"needs {name}, and --models is not given"
    )
    if not models.hub:
        return Model(name, missing=requirement)
    if not fetch and needs_fetching(name):
        return Model(name, source=name)
    model = _checked(name, name, fetch=fetch, files=files)
    return Model(name, missing=f"{requirement}; {model.missing}") if model.missing else model


def lacking(libraries: Sequence[str]) -> str:
    """What must be installed first; empty where all is there."""
    for library in ("torch", "transformers", *libraries):
        if find_spec(library) is None:
            extra = _EXTRAS.get(library, "encoders")
            return f"needs {library}, which is not installed: {install_command(extra)}"
    return ""


def _checked(name: str, source: str, *, fetch: bool, files: Sequence[str]) -> Model:
    try:
        folder = model_folder(source, offline=not fetch, fetched=files)
    except RecipeError as error:
        return Model(name, missing=str(error))
    return Model(name, source=source, version=folder_version(folder))


def _last(name: str) -> str:
    return name.rpartition("/")[2]
