"""polyvigil as a scikit-learn classifier of texts: for pipelines, cross-validation and searches over settings.

In: texts (list, array, Series, or a DataFrame with a text column) and labels. Out: decisions and probabilities. A
fitted classifier holds a bundle; its pickle holds the bundle's files, whose hashes are checked when it is loaded.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from polyvigil import api
from polyvigil.api import Bundle
from polyvigil.config.load import known_keys
from polyvigil.data.formats import Table
from polyvigil.data.frames import Posts, source_of, with_cells
from polyvigil.errors import DataError


class ADEClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier of posts: 1 mentions an adverse drug event (ADE), 0 does not.

    ``recipe``: the name of a shipped recipe or the path of a recipe file. ``settings`` change it: a setting's path
    with ``__`` for each dot, as ``model__C=2.0`` or ``decide__rule="argmax"``. They are parameters of scikit-learn's
    kind, so that a search may vary them. Attributes of a fitted one: ``classes_`` (0 and 1) and ``bundle_``.
    """

    def __init__(self, recipe: str = "linear", **settings: Any) -> None:
        self.recipe = recipe
        self._settings = settings

    def fit(
        self,
        X: Posts,
        y: Iterable[object],
        languages: Iterable[object] | None = None,
        groups: Iterable[object] | None = None,
    ) -> ADEClassifier:
        """Train on texts ``X`` and labels ``y`` (0 or 1), one each, of which some, or folds of all, tune thresholds.

        ``languages``: a code for each text; a missing one is detected. ``groups``: texts of one group are held out
        together. Raises RecipeError for a wrong setting, DataError for a row that cannot be used.
        """
        settings = {name.replace("__", "."): value for name, value in self._settings.items()}
        texts = source_of(X, name="train")
        if not isinstance(texts, Table):
            raise DataError("texts with labels beside them are no file", where="X", hint="give a list, or use train")
        cells = {"label": y, "language": languages, "group": groups}
        self.bundle_ = api.train(self.recipe, with_cells(texts, cells), settings=settings)
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X: Posts, languages: Iterable[object] | None = None) -> NDArray[np.int64]:
        """The decision on each text, shape (n_samples,): 1 is flagged as an ADE, by the threshold of its language."""
        return self._bundle().predict(X, languages)

    def predict_proba(self, X: Posts, languages: Iterable[object] | None = None) -> NDArray[np.float64]:
        """P(no ADE) and P(ADE) of each text: shape (n_samples, 2), in the order of ``classes_``."""
        return self._bundle().predict_proba(X, languages)

    def decide(self, X: Posts, languages: Iterable[object] | None = None, **options: Any) -> Any:
        """A table of decisions, with thresholds, calibrated probabilities and flags; see ``polyvigil.score``."""
        return self._bundle().decide(X, languages, **options)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's signature
        """The recipe and the settings that were given, by name."""
        return {"recipe": self.recipe, **self._settings}

    def set_params(self, **params: Any) -> ADEClassifier:
        """Change the recipe or settings. Raises ValueError for a name that is no setting."""
        for name, value in params.items():
            if name == "recipe":
                self.recipe = value
            elif name in self._settings or _is_setting(name.replace("__", ".")):
                self._settings = {**self._settings, name: value}
            else:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self!r}: there is no such setting")
        return self

    def _bundle(self) -> Bundle:
        check_is_fitted(self, "bundle_")
        return self.bundle_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_class = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if "bundle_" in state:
            state["bundle_"] = _packed(state["bundle_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state.get("bundle_"), bytes):
            state = {**state, "bundle_": _unpacked(state["bundle_"])}
        super().__setstate__(state)


def _is_setting(key: str) -> bool:
    """Whether a recipe has this setting, or a table (such as ``data.labels``) that holds it."""
    return any(key == known or key.startswith(f"{known}.") for known in known_keys())


def _packed(bundle: Bundle) -> bytes:
    """The files of a bundle as one zip archive in memory, stored as they are."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", strict_timestamps=False) as archive:
        for file in sorted(bundle.files.rglob("*")):
            archive.write(file, file.relative_to(bundle.files))
    return held.getvalue()


def _unpacked(packed: bytes) -> Bundle:
    """A bundle in a temporary folder, loaded with every hash checked."""

    def write(folder: Any) -> None:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(folder)  # names that point out of the folder are made to stay in it

    return api.load_written(write)
