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
    data = _data_of(folder)
    if data is None:
        return spec
    return spec.model_copy(update={"trained_columns": _columns_of(data), "trained_labels": dict(data.labels)})


def trained_columns(folder: Path | str) -> dict[Role, str]:
    """Which columns played which part when the bundle in ``folder`` was trained; empty where its recipe names none."""
    data = _data_of(folder)
    return {} if data is None else _columns_of(data)


def _data_of(folder: Path | str) -> DataSpec | None:
    """The data settings of a bundle's recipe, if it holds one."""
    try:
        return load_text(read_document(folder, RECIPE), where=str(Path(folder) / RECIPE)).data
    except (BundleError, RecipeError):
        return None


def _columns_of(data: DataSpec) -> dict[Role, str]:
    """The columns that a recipe names, those of one file alone below those of all."""
    columns: dict[Role, str] = {}
    for of_file in (*data.file_columns.values(), data.columns):
        columns |= of_file
    return columns


def recipe_as_trained(data: DataSpec, folder: Path | str) -> DataSpec:
    """The ``data`` of the recipe of the bundle in ``folder``, changed or not: what it was trained with is no demand."""
    spec = as_trained(data, folder)
    columns = {role: name for role, name in data.columns.items() if spec.trained_columns.get(role) != name}
    labels = {value: label for value, label in data.labels.items() if spec.trained_labels.get(value) != label}
    return spec.model_copy(update={"columns": columns, "labels": labels})
