"""polyvigil finds adverse drug events (ADEs) in posts of many languages: a triage aid, never a medical decision.

    >>> import polyvigil
    >>> bundle = polyvigil.load_bundle("demo/bundle")
    >>> post = polyvigil.Post("1", "these pills gave me such a headache", language="en")
    >>> polyvigil.score_posts(bundle, [post])[0].decision

The names below are the public ones; they are imported when first used, so that ``import polyvigil`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.bundle.store import load as load_bundle
    from polyvigil.data.read import read_labelled
    from polyvigil.errors import PolyvigilError
    from polyvigil.evaluation.measure import measure
    from polyvigil.score.batch import score_file
    from polyvigil.score.wire import Decision, score_posts
    from polyvigil.types import LabelledPost, Post

__version__ = "0.1.0"

_PUBLIC = {
    "Bundle": ("polyvigil.bundle.store", "Bundle"),
    "Decision": ("polyvigil.score.wire", "Decision"),
    "LabelledPost": ("polyvigil.types", "LabelledPost"),
    "PolyvigilError": ("polyvigil.errors", "PolyvigilError"),
    "Post": ("polyvigil.types", "Post"),
    "load_bundle": ("polyvigil.bundle.store", "load"),
    "measure": ("polyvigil.evaluation.measure", "measure"),
    "read_labelled": ("polyvigil.data.read", "read_labelled"),
    "score_file": ("polyvigil.score.batch", "score_file"),
    "score_posts": ("polyvigil.score.wire", "score_posts"),
}

__all__ = [
    "Bundle",
    "Decision",
    "LabelledPost",
    "PolyvigilError",
    "Post",
    "__version__",
    "load_bundle",
    "measure",
    "read_labelled",
    "score_file",
    "score_posts",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'polyvigil' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
