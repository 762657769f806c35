"""Reads the stored members of a bundle, each by the module of its kind, which is imported only when it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from polyvigil.bundle.layout import MemberEntry
from polyvigil.detect import stacked
from polyvigil.detect.base import Detector
from polyvigil.detect.stacked import Featured
from polyvigil.errors import BundleError, not_installed
from polyvigil.judge import endpoint
from polyvigil.judge.endpoint import Endpoint, EndpointPermission

_LOADERS = {  # kind of a member -> the module whose load(folder, device=...) reads it
    "linear": "polyvigil.detect.linear",
    "encoder": "polyvigil.detect.transformer",
    "nli": "polyvigil.detect.zeroshot_nli",
    "ner": "polyvigil.detect.zeroshot_ner",
}
_STACKED = "stacked"  # a member of two others, each read by its own loader
KINDS = (*_LOADERS, _STACKED)
"""The kinds of detectors that a bundle can hold."""


def load_second_stage(
    bundle: Path, listed: Sequence[MemberEntry], *, device: str, permission: EndpointPermission | None
) -> tuple[Detector, ...] | Endpoint:
    """The detectors of a second stage in the folder ``bundle``, or its chat endpoint, which stays closed without a
    ``permission``. Raises BundleError."""
    if [entry.kind for entry in listed] == [endpoint.KIND]:
        return endpoint.load_endpoint(bundle / listed[0].folder, permission=permission)
    return tuple(load_member(bundle, entry, device=device) for entry in listed)


def load_member(bundle: Path, entry: MemberEntry, *, device: str) -> Detector:
    """One detector of the bundle in the folder ``bundle``.

    Raises BundleError for an unknown kind, a damaged member, and a package that is not installed.
    """
    if entry.kind not in KINDS:
        raise BundleError(
            f"member of unknown kind {entry.kind!r}", where=str(bundle), hint="update polyvigil to read it"
        )
    folder = bundle / entry.folder
    if entry.kind != _STACKED:
        detector: Detector = _loader(entry.kind)(folder, device=device)
        return detector
    config = stacked.read(folder)
    base: Detector = _loader(config.base)(folder / stacked.BASE, device=device)
    further: Featured = _loader(config.further)(folder / stacked.FURTHER, device=device)
    return stacked.assemble(folder, config, base=base, further=further)


def _loader(kind: str) -> Callable[..., Any]:
    try:
        loader: Callable[..., Any] = importlib.import_module(_LOADERS[kind]).load
    except ModuleNotFoundError as error:
        needed_by = f"a member of kind {kind!r}"
        raise not_installed(error.name, extra="encoders", needed_by=needed_by, error=BundleError) from error
    return loader
