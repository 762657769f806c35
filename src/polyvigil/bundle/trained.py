"""The columns and labels that a bundle was trained with: how it reads further files, where they have them."""

from __future__ import annotations

from pathlib import Path

from polyvigil.bundle.layout import RECIPE
from polyvigil.bundle.store import read_document
from polyvigil.config.data import DataSpec, Role
from polyvigil.config.load import load_text
from polyvigil.errors import BundleError, RecipeError


def as_trained(spec: DataSpec, folder: Path | str) -> DataSpec:
    """``spec``, and below it the columns and labels of the recipe of the bundle in ``folder``, if it holds one."""
    try:
        data = load_text(read_document(folder, RECIPE), where=str(Path(folder) / RECIPE)).data
    except (BundleError, RecipeError):
        return spec
    columns: dict[Role, str] = {}
    for of_file in (*data.file_columns.values(), data.columns):
        columns |= of_file
    return spec.model_copy(update={"trained_columns": columns, "trained_labels": dict(data.labels)})


def recipe_as_trained(data: DataSpec, folder: Path | str) -> DataSpec:
    """The ``data`` of the recipe of the bundle in ``folder``, changed or not: what it was trained with is no demand."""
    spec = as_trained(data, folder)
    columns = {role: name for role, name in data.columns.items() if spec.trained_columns.get(role) != name}
    labels = {value: label for value, label in data.labels.items() if spec.trained_labels.get(value) != label}
    return spec.model_copy(update={"columns": columns, "labels": labels})
