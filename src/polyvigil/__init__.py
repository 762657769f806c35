"""polyvigil finds adverse drug events (ADEs) in posts of many languages: a triage aid, never a medical decision.

    >>> import polyvigil
    >>> bundle = polyvigil.load("demo/bundle")
    >>> polyvigil.score(bundle, ["these pills gave me such a headache"]).column("decision")

The names below are the public ones, described in docs/python.md; they are imported when first used, so that
``import polyvigil`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyvigil.api import Bundle, compare, evaluate, explain, load, score, train, tune
    from polyvigil.api import load as load_bundle
    from polyvigil.checks.replacement_gate import ReplacementComparison
    from polyvigil.config.recipe import Recipe
    from polyvigil.data.read import read_labelled
    from polyvigil.data.sample import sample_corpus
    from polyvigil.errors import DataWarning, PolyvigilError
    from polyvigil.evaluation.compare import Comparison, SeveralComparison
    from polyvigil.evaluation.evaluate import Evaluation
    from polyvigil.evaluation.measure import measure
    from polyvigil.scoring.batch import score_file
    from polyvigil.scoring.wire import Decision, score_posts
    from polyvigil.serve.client import Client
    from polyvigil.sklearn import ADEClassifier
    from polyvigil.types import LabelledPost, Post

__version__ = "0.1.0"

_PUBLIC = {
    "ADEClassifier": ("polyvigil.sklearn", "ADEClassifier"),
    "Bundle": ("polyvigil.api", "Bundle"),
    "Client": ("polyvigil.serve.client", "Client"),
    "Comparison": ("polyvigil.evaluation.compare", "Comparison"),
    "DataWarning": ("polyvigil.errors", "DataWarning"),
    "Decision": ("polyvigil.scoring.wire", "Decision"),
    "Evaluation": ("polyvigil.evaluation.evaluate", "Evaluation"),
    "LabelledPost": ("polyvigil.types", "LabelledPost"),
    "PolyvigilError": ("polyvigil.errors", "PolyvigilError"),
    "Post": ("polyvigil.types", "Post"),
    "Recipe": ("polyvigil.config.recipe", "Recipe"),
    "ReplacementComparison": ("polyvigil.checks.replacement_gate", "ReplacementComparison"),
    "SeveralComparison": ("polyvigil.evaluation.compare", "SeveralComparison"),
    "compare": ("polyvigil.api", "compare"),
    "evaluate": ("polyvigil.api", "evaluate"),
    "explain": ("polyvigil.api", "explain"),
    "load": ("polyvigil.api", "load"),
    "load_bundle": ("polyvigil.api", "load"),
    "measure": ("polyvigil.evaluation.measure", "measure"),
    "read_labelled": ("polyvigil.data.read", "read_labelled"),
    "sample_corpus": ("polyvigil.data.sample", "sample_corpus"),
    "score_file": ("polyvigil.scoring.batch", "score_file"),
    "score_posts": ("polyvigil.scoring.wire", "score_posts"),
    "score": ("polyvigil.api", "score"),
    "train": ("polyvigil.api", "train"),
    "tune": ("polyvigil.api", "tune"),
}

__all__ = [
    "ADEClassifier",
    "Bundle",
    "Client",
    "Comparison",
    "DataWarning",
    "Decision",
    "Evaluation",
    "LabelledPost",
    "PolyvigilError",
    "Post",
    "Recipe",
    "ReplacementComparison",
    "SeveralComparison",
    "__version__",
    "compare",
    "evaluate",
    "explain",
    "load",
    "load_bundle",
    "measure",
    "read_labelled",
    "sample_corpus",
    "score",
    "score_file",
    "score_posts",
    "train",
    "tune",
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
