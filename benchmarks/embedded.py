"""The embedded linear default against scikit-learn's own pipeline with the same features: ranking, then speed.

    python benchmarks/embedded.py [POSTS.csv] [--json FILE]

Both arms read the same normalised texts, use the same n-grams, weights and solver. Without POSTS.csv (which needs a
split column) the synthetic sample corpus is used, and the figures say nothing about real posts.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import FeatureUnion, make_pipeline

from polyvigil.data.read import read_labelled
from polyvigil.data.sample import sample_corpus
from polyvigil.detect.ngram_scorer import WORTH_CHARACTERS
from polyvigil.learn.balance import training_weights
from polyvigil.learn.linear import LinearLearner
from polyvigil.metrics import average_precision
from polyvigil.specs import BalanceSpec, LinearSpec
from polyvigil.text.normalise import model_text
from side_by_side import compare, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("posts", nargs="?", help="labelled posts with a split column")
    parser.add_argument("--json", help="write the figures here too")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of the other arm's solver; its default is 1e-4")
    arguments = parser.parse_args()
    items = read_labelled(arguments.posts).posts if arguments.posts else sample_corpus()
    train = [item for item in items if item.post.split == "train"]
    test = [item for item in items if item.post.split == "test"]
    spec = LinearSpec()

    common = {"min_df": spec.min_posts, "sublinear_tf": spec.sublinear, "preprocessor": lambda t: model_text(t).lower()}
    pipeline = make_pipeline(
        FeatureUnion(
            [
                ("words", TfidfVectorizer(ngram_range=spec.word_ngrams, **common)),
                ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=spec.character_ngrams, **common)),
            ]
        ),
        LogisticRegression(C=spec.C, solver="liblinear", tol=arguments.tolerance),
    )
    texts, labels = [item.post.text for item in train], [item.label for item in train]
    weights = training_weights(train, BalanceSpec())
    learner = LinearLearner(spec, BalanceSpec())

    def fit_theirs() -> object:
        return pipeline.fit(texts, labels, logisticregression__sample_weight=weights)

    fitting = compare(
        "linear default, fitting, against scikit-learn's pipeline",
        lambda: learner.fit(train, (), seed=1),
        fit_theirs,
        rounds=3,
    )
    detector = learner.fit(train, (), seed=1)
    fit_theirs()
    detector.warming.characters = WORTH_CHARACTERS  # as after some ten thousand posts: compiled
    posts = [item.post for item in test]
    found = [post.text for post in posts]
    gold = np.array([item.label for item in test], dtype=np.int8)
    mine, theirs = detector.probabilities(posts), pipeline.predict_proba(found)[:, 1]
    notes: dict[str, object] = {
        "data": arguments.posts or "synthetic sample corpus",
        "posts": f"{len(train):,} train, {len(test):,} test ({int(gold.sum()):,} positive)",
        "average precision, ours (ours by scikit-learn)": (
            f"{average_precision(gold, mine):.6f} ({average_precision_score(gold, mine):.6f})"
        ),
        "average precision, scikit-learn pipeline": f"{average_precision_score(gold, theirs):.6f}",
        "largest difference of a probability": f"{np.abs(mine - theirs).max():.2e}",
    }
    scoring = compare(
        "linear default, scoring, against scikit-learn's pipeline",
        lambda: detector.probabilities(posts),
        lambda: pipeline.predict_proba(found),
        rounds=15,
        bar=20,
    )
    report([fitting, scoring], notes, arguments.json)


if __name__ == "__main__":
    main()
