"""The linear detector against scikit-learn's own pipeline; bit-equal in any batch and after saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.detect.linear import LinearDetector, load
from polyvigil.errors import BundleError, DataError
from polyvigil.learn.balance import training_indices, training_weights
from polyvigil.learn.linear import LinearLearner
from polyvigil.text.normalise import model_text
from polyvigil.types import LabelledPost, Post


@pytest.fixture(scope="module")
def english(corpus: tuple[LabelledPost, ...]) -> tuple[LabelledPost, ...]:
    return tuple(item for item in corpus if item.post.language in {"en", "ja", "de"})


@pytest.fixture(scope="module")
def detector(english: tuple[LabelledPost, ...]) -> LinearDetector:
    return LinearLearner(LinearSpec(), BalanceSpec()).fit(_split(english, "train"), (), seed=1)


def _split(items: tuple[LabelledPost, ...], split: str) -> tuple[LabelledPost, ...]:
    return tuple(item for item in items if item.post.split == split)


def _scikit_learn(train: tuple[LabelledPost, ...], test: tuple[LabelledPost, ...], spec: LinearSpec) -> np.ndarray:
    """The same model by scikit-learn alone: dictionaries of strings, its own TF-IDF."""
    common = {"min_df": spec.min_posts, "sublinear_tf": spec.sublinear}
    vectorisers = (
        TfidfVectorizer(ngram_range=spec.word_ngrams, **common),
        TfidfVectorizer(analyzer="char_wb", ngram_range=spec.character_ngrams, **common),
    )
    texts = [model_text(item.post.text) for item in train]
    features = hstack([vectoriser.fit_transform(texts) for vectoriser in vectorisers]).tocsr()
    model = LogisticRegression(C=spec.C, solver="liblinear")
    model.fit(features, [item.label for item in train], sample_weight=training_weights(train, BalanceSpec()))
    found = [model_text(item.post.text) for item in test]
    return model.predict_proba(hstack([vectoriser.transform(found) for vectoriser in vectorisers]))[:, 1]


@pytest.mark.parametrize(
    "spec",
    [
        LinearSpec(scale="none", skip_words=0),
        LinearSpec(
            min_posts=3, sublinear=False, word_ngrams=(1, 1), character_ngrams=(3, 4), C=1.0, scale="none", skip_words=0
        ),
    ],
)
def test_probabilities_equal_scikit_learns(english: tuple[LabelledPost, ...], spec: LinearSpec) -> None:
    train, test = _split(english, "train"), _split(english, "test")
    mine = LinearLearner(spec, BalanceSpec()).fit(train, (), seed=1).probabilities([item.post for item in test])
    theirs = _scikit_learn(train, test, spec)
    assert np.abs(mine - theirs).max() < 2e-3  # liblinear stops where its tolerance is met, not at one point
    assert np.corrcoef(mine, theirs)[0, 1] > 0.99999


def test_scores_do_not_depend_on_other_posts(detector: LinearDetector, english: tuple[LabelledPost, ...]) -> None:
    posts = [item.post for item in _split(english, "test")][:300]
    together = detector.probabilities(posts)
    assert np.array_equal(together, np.concatenate([detector.probabilities([post]) for post in posts]))
    long = Post("long", "headache after the pills " * 40_000, "en")
    assert np.array_equal(detector.probabilities([long, *posts])[1:], together)
    assert np.array_equal(detector.probabilities(posts[::-1]), together[::-1])


def test_saved_and_loaded_it_is_bit_equal(detector: LinearDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    posts = [Post("1", "these pills gave me a headache"), Post("2", ""), Post("3", "頭が痛い"), Post("4", "😀")]
    assert np.array_equal(load(tmp_path).probabilities(posts), detector.probabilities(posts))
    assert load(tmp_path).fit_record == detector.fit_record


def test_a_saved_model_holds_no_text(detector: LinearDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"headache" not in stored
    assert "頭痛".encode() not in stored


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "not a readable linear detector"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"\xff" * 40), "not a readable linear detector"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "not a readable linear detector"),
        (
            lambda folder: (folder / "config.json").write_text(
                (folder / "config.json").read_text().replace("gladiators-2", "gladiators-0")
            ),
            "made with normalisation 'gladiators-0'",
        ),
    ],
)
def test_a_damaged_folder_is_refused(detector: LinearDetector, tmp_path: Path, damage: object, message: str) -> None:
    detector.save(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(BundleError, match=message):
        load(tmp_path)


def test_no_posts(detector: LinearDetector) -> None:
    assert detector.probabilities([]).shape == (0,)


def test_one_class_cannot_be_learned() -> None:
    items = [LabelledPost(Post(str(i), "text", "en"), 1) for i in range(3)]
    with pytest.raises(DataError, match="3 training posts hold 3 positives; both classes are needed"):
        LinearLearner(LinearSpec(), BalanceSpec()).fit(items, (), seed=1)


def test_oversampling_counts_as_the_paper_does() -> None:
    """54,503 rows: 46,737 posts and 810 CADEC rows, each of their 3,478 positives three times (synthetic frame)."""
    labels = np.zeros(46_737 + 810, dtype=np.int8)
    labels[: 2_992 + 486] = 1
    indices = training_indices(labels, times=3)
    assert len(indices) == 54_503
    assert np.array_equal(indices[: len(labels)], np.arange(len(labels)))
    assert np.bincount(indices)[labels == 1].tolist() == [3] * 3_478
    assert np.bincount(indices)[labels == 0].max() == 1
    assert labels[indices].mean() == pytest.approx(0.191, abs=0.001)


def test_weights_balance_inside_each_language_and_type() -> None:
    rows = [("en", "tweet", 1), ("en", "tweet", 0), ("en", "tweet", 0), ("en", "tweet", 0), ("ja", "tweet", 0)]
    items = [LabelledPost(Post(str(i), "x", language, kind), label) for i, (language, kind, label) in enumerate(rows)]
    weights = training_weights(items, BalanceSpec())
    assert weights.tolist() == [2.0, 2 / 3, 2 / 3, 2 / 3, 1.0]
    assert training_weights(items, BalanceSpec(weights="class")).tolist() == [2.5, 0.625, 0.625, 0.625, 0.625]
    assert training_weights(items, BalanceSpec(weights="none")).tolist() == [1.0] * 5


def test_oversampling_equals_weighing(english: tuple[LabelledPost, ...]) -> None:
    """Each positive three times is each positive of weight three: the n-grams' frequencies stay those of the posts."""
    train = _split(english, "train")
    posts = [item.post for item in _split(english, "test")][:100]
    three = LinearLearner(LinearSpec(), BalanceSpec(weights="none", oversample=3)).fit(train, (), seed=1)
    one = LinearLearner(LinearSpec(), BalanceSpec(weights="none")).fit(train, (), seed=1)
    assert three.probabilities(posts).mean() > one.probabilities(posts).mean()
    assert np.array_equal(three.words.idf, one.words.idf)
