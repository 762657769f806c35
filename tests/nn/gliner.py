"""A tiny GLiNER2 model with random weights, over the words of the tests."""

from __future__ import annotations

from functools import partial

from tests.nn.tiny import TEXTS

from polyvigil_gladiators import tiny

gliner_folder = partial(tiny.gliner_folder, texts=TEXTS)
