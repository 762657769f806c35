"""ADEClassifier beside scikit-learn: its estimator checks, pipelines, cross-validation, searches, pickles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags

import polyvigil
from polyvigil.errors import DataError, RecipeError
from polyvigil.sklearn import ADEClassifier
from polyvigil.types import LabelledPost

CHECKS = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)
"""scikit-learn's checks that fit nothing. All others fit, or predict for, arrays of numbers, which are no posts; what
they look for is tested here on texts: a fit changes no parameter, ``classes_`` and shapes, the same result for the same
data, NotFittedError before a fit, an error for texts and labels of other lengths, and pickles that change nothing."""


@pytest.fixture(scope="module")
def posts(corpus: tuple[LabelledPost, ...]) -> pd.DataFrame:
    chosen = [item for item in corpus if item.post.language in {"de_cadec", "fr_cadec"}]
    return pd.DataFrame(
        {
            "text": [item.post.text for item in chosen],
            "language": [item.post.language[:2] for item in chosen],
            "group": [item.post.group for item in chosen],
            "label": [item.label for item in chosen],
        }
    )


@pytest.fixture(scope="module")
def fitted(posts: pd.DataFrame) -> ADEClassifier:
    return ADEClassifier().fit(posts.text, posts.label, languages=posts.language, groups=posts.group)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.filterwarnings("default")
def test_scikit_learn_s_check_passes(check: str) -> None:
    getattr(estimator_checks, check)("ADEClassifier", ADEClassifier("linear", model__C=2.0))


def test_parameters_are_the_recipe_and_its_settings() -> None:
    classifier = ADEClassifier("linear", model__C=2.0)
    assert classifier.get_params() == {"recipe": "linear", "model__C": 2.0}
    assert repr(clone(classifier)) == "ADEClassifier(model__C=2.0)"
    classifier.set_params(model__C=3.0, decide__rule="argmax", data__labels__yes=1)
    assert classifier.get_params()["model__C"] == 3.0
    assert clone(classifier).get_params() == classifier.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'model__D'"):
        classifier.set_params(model__D=1)
    pipeline = Pipeline([("ade", ADEClassifier())]).set_params(ade__model__C=5.0)
    assert pipeline.get_params()["ade__model__C"] == 5.0
    assert is_classifier(classifier)
    assert get_tags(classifier).input_tags.string


def test_fit_gives_the_bundle_of_train(posts: pd.DataFrame, fitted: ADEClassifier) -> None:
    bundle = polyvigil.train("linear", posts)
    assert fitted.bundle_ == bundle
    assert fitted.classes_.tolist() == [0, 1]
    assert fitted.get_params() == {"recipe": "linear"}
    texts = posts.text.to_numpy()
    p = fitted.predict_proba(texts)
    assert p.shape == (len(texts), 2)
    assert np.array_equal(p, bundle.predict_proba(posts.text.tolist()))
    assert np.array_equal(fitted.predict(posts[["text", "language"]]), bundle.predict(texts, posts.language))
    table = fitted.decide(posts.text.tolist(), languages=posts.language.tolist())
    assert table.column("decision").to_pylist() == fitted.predict(posts.text, posts.language).tolist()
    assert fitted.score(posts[["text", "language"]], posts.label) > 0.6


def test_settings_reach_the_recipe_and_are_checked_by_fit(posts: pd.DataFrame) -> None:
    labels = posts.label.map({0: "no", 1: "yes"})
    classifier = ADEClassifier(model__C=np.float64(2.0), decide__rule="fixed", data__labels={"yes": 1, "no": 0})
    classifier.fit(posts.text, labels)
    assert {threshold.value for threshold in classifier.bundle_.policy.thresholds.values()} == {0.5}
    with pytest.raises(RecipeError, match=r"model\.D: there is no such setting"):
        ADEClassifier(model__D=1).fit(posts.text, posts.label)
    with pytest.raises(DataError, match=r"holds side effect \(\d+\), none of it \(\d+\), neither 0 nor 1"):
        ADEClassifier().fit(posts.text, np.where(posts.label, "side effect", "none of it"))
    words = ADEClassifier(decide__rule="fixed").fit(posts.text, np.where(posts.label, "yes", "no"))
    numbers = ADEClassifier(decide__rule="fixed").fit(posts.text, posts.label)
    assert words.predict_proba(posts.text[:20]).tolist() == numbers.predict_proba(posts.text[:20]).tolist()


def test_errors_before_and_in_a_fit(posts: pd.DataFrame) -> None:
    for method in ("predict", "predict_proba", "decide"):
        with pytest.raises(NotFittedError):
            getattr(ADEClassifier(), method)(["these pills gave me a headache"])
    with pytest.raises(DataError, match=f"{len(posts) - 1} values of label for {len(posts)} posts"):
        ADEClassifier().fit(posts.text, posts.label[:-1])
    with pytest.raises(DataError, match="give a list, or use train"):
        ADEClassifier().fit("posts.csv", posts.label)


def test_a_pickle_of_a_fitted_classifier_needs_no_folder(
    posts: pd.DataFrame, fitted: ADEClassifier, tmp_path: Path
) -> None:
    joblib.dump(fitted, tmp_path / "classifier.joblib")
    for again in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "classifier.joblib")):
        assert again.bundle_.files != fitted.bundle_.files
        assert np.array_equal(again.predict_proba(posts.text), fitted.predict_proba(posts.text))
        assert again.bundle_.save(tmp_path / "bundle", replace=True) == fitted.bundle_
    assert pickle.loads(pickle.dumps(ADEClassifier(model__C=2.0))).get_params() == {"recipe": "linear", "model__C": 2.0}


def test_cross_validation_pipelines_and_searches(posts: pd.DataFrame) -> None:
    frame = posts[["text", "language"]]
    pipeline = Pipeline([("same", FunctionTransformer()), ("ade", ADEClassifier(decide__rule="argmax"))])
    folds: dict[str, Any] = {"cv": GroupKFold(2), "groups": posts.group, "scoring": "f1"}
    scores = cross_val_score(pipeline, frame, posts.label, **folds)
    assert scores.min() > 0.6
    beside = cross_val_score(
        ADEClassifier(decide__rule="argmax"),
        posts.text,
        posts.label,
        params={"languages": posts.language, "groups": posts.group},
        **folds,
    )
    assert beside.min() > 0.6
    search = GridSearchCV(pipeline, {"ade__model__C": [0.5, 4.0]}, cv=2, scoring="roc_auc", n_jobs=1)
    search.fit(frame, posts.label)
    assert set(search.best_params_) == {"ade__model__C"}
    assert search.predict(frame).shape == (len(posts),)


def test_folds_are_fitted_by_other_processes(posts: pd.DataFrame) -> None:
    frame = posts[["text", "language"]]
    classifier = ADEClassifier(decide__rule="argmax")
    one = cross_val_score(classifier, frame, posts.label, cv=2, scoring="roc_auc")
    two = cross_val_score(classifier, frame, posts.label, cv=2, scoring="roc_auc", n_jobs=2)
    assert one.tolist() == two.tolist()
