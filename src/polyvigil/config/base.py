"""What all settings classes share: they are frozen, know their keys and convert no types."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict

from polyvigil.types import Frozen


class Spec(Frozen):
    """Base of all specs: frozen, no unknown keys, no silent conversion of types, no infinite numbers."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    unwritten_defaults: ClassVar[frozenset[str]] = frozenset()
    """Settings that a recipe's text holds only where they are set."""


REVISION = "a branch, tag, commit or pull request of the hub, such as refs/pr/5; empty: the main branch"
