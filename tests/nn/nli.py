"""Tiny NLI models with random weights, over the words of the tests."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from tests.nn.tiny import TEXTS

from polyvigil_gladiators import tiny
from polyvigil_gladiators.tiny import XNLI

__all__ = ["XNLI", "edit", "nli_folder"]

nli_folder = partial(tiny.nli_folder, texts=TEXTS)


def edit(path: Path, **values: object) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
