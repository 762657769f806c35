"""What ``GET /v1/bundle`` says: which bundle serves, its thresholds, its card, its metrics on the dev posts."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from polyvigil.bundle import layout
from polyvigil.bundle.store import Bundle, read_document
from polyvigil.bundle.trained import trained_columns
from polyvigil.errors import BundleError
from polyvigil.scoring.facts import OutputFacts


def bundle_facts(bundle: Bundle, filled: OutputFacts, folder: Path | None) -> dict[str, object]:
    """Facts of a bundle as data. ``folder``: where it was loaded from; without it card and metrics are null.

    ``filled``: its ``fields``, those that a record of this bundle has, and at which ``prevalence`` p_calibrated holds.
    ``columns``: those it was trained with, by their part, so that files are read as there.
    """
    evaluation = _document(bundle, folder, layout.EVALUATION)
    return {
        "bundle": bundle.id,
        "polyvigil": version("polyvigil"),
        "manifest": bundle.manifest.model_dump(mode="json"),
        "policy": bundle.policy.model_dump(mode="json"),
        "fields": list(filled.columns),
        "prevalence": dict(filled.prevalence),
        "endpoint": bundle.has_endpoint,
        "evaluation": json.loads(evaluation) if evaluation else None,
        "card": _document(bundle, folder, layout.CARD),
        "columns": trained_columns(folder) if folder and _document(bundle, folder, layout.RECIPE) else {},
    }


def _document(bundle: Bundle, folder: Path | None, name: str) -> str | None:
    """A text of the bundle, unless another one stands in its folder by now."""
    if folder is None or name not in bundle.manifest.files:
        return None
    try:
        manifest = layout.Manifest.model_validate_json(read_document(folder, layout.MANIFEST))
        return read_document(folder, name) if manifest == bundle.manifest else None
    except (BundleError, ValueError):
        return None
