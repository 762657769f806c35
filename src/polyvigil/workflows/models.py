"""The models that a recipe names, wherever in it they stand."""

from __future__ import annotations

from dataclasses import dataclass

from polyvigil.config.model import HybridSpec, NerSpec, NliSpec, StackedSpec
from polyvigil.config.recipe import Recipe


@dataclass(frozen=True, slots=True)
class NamedModel:
    """``setting``: the setting that names it, such as ``model.base.name``; ``name``: a folder, or a name of the hub;
    ``revision``: the branch or the like there; ``kind``: of the spec that it stands in."""

    setting: str
    name: str
    revision: str
    kind: str

    @property
    def files(self) -> tuple[str, ...]:
        """The files to fetch, by their paths; none: those that ``nn.source.model_folder`` fetches of any model."""
        if self.kind != "ner":
            return ()
        from polyvigil.nn.entities import FILES

        return FILES


def models_of(recipe: Recipe) -> tuple[NamedModel, ...]:
    """The models of a recipe, first the one that is trained."""
    spec, encoder = recipe.model, recipe.encoder
    stacked = isinstance(spec, StackedSpec)
    models = []
    if encoder:
        hybrid = isinstance(spec, HybridSpec)
        setting = "model.base.name" if stacked else "model.encoder.name" if hybrid else "model.name"
        models.append(NamedModel(setting, encoder.name, encoder.revision, encoder.kind))
    further = spec.further if isinstance(spec, StackedSpec) else spec
    if isinstance(further, NerSpec | NliSpec):
        setting = "model.further.name" if stacked else "model.name"
        models.append(NamedModel(setting, further.name, further.revision, further.kind))
    return tuple(models)
