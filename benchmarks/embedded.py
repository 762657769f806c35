"""The embedded linear default against scikit-learn's own pipeline with the same features: ranking, then speed.

    python benchmarks/embedded.py [POSTS.csv] [--json FILE]

Both arms read the same normalised texts and fit the same model: no scale, no skip-grams. Without POSTS.csv (which
needs a split column) the synthetic sample corpus is used, and the values say nothing about real posts.

Last, a CSV file of 20,000 posts is scored into another one: by the command's own function, with all its columns, checks
and hashes; and as a short script would, read and written by Arrow, with a probability and a decision for each post.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import csv
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import FeatureUnion, make_pipeline

from polyvigil.config.model import LinearSpec
from polyvigil.config.recipe import LinearRecipe
from polyvigil.config.training import BalanceSpec
from polyvigil.data.read import read_labelled
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import csv_text
from polyvigil.detect.ngram_scorer import WORTH_CHARACTERS
from polyvigil.learn.balance import training_weights
from polyvigil.learn.linear import LinearLearner
from polyvigil.metrics import average_precision
from polyvigil.scoring.batch import score_file
from polyvigil.text.normalise import NORMALISATION, model_text
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training
from polyvigil.workflows.train import TrainingData
from side_by_side import Ratio, compare, report

FILE_POSTS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("posts", nargs="?", help="labelled posts with a split column")
    parser.add_argument("--json", help="write the numbers here too")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of the other arm's solver; its default is 1e-4")
    arguments = parser.parse_args()
    items = read_labelled(arguments.posts).posts if arguments.posts else sample_corpus()
    train = [item for item in items if item.post.split == "train"]
    test = [item for item in items if item.post.split == "test"]
    spec = LinearSpec(C=4.0, scale="none", skip_words=0, translated_likeness=1.0)

    common = {
        "min_df": spec.min_posts,
        "sublinear_tf": spec.sublinear,
        "preprocessor": lambda t: model_text(t, NORMALISATION).lower(),
    }
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
        "data": Path(arguments.posts).name if arguments.posts else "synthetic sample corpus",
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
    with tempfile.TemporaryDirectory() as name:
        whole = compare_files(Path(name), items, posts, pipeline)
    report([fitting, scoring, whole], notes, arguments.json)


def compare_files(folder: Path, items: Sequence[LabelledPost], posts: Sequence[Post], pipeline: Any) -> Ratio:
    """A file of posts to a file of decisions, by a bundle trained on the same posts and by the pipeline."""
    train, dev = ([item for item in items if item.post.split == split] for split in ("train", "dev"))
    material = TrainingData(tuple(train), tuple(dev or train), data="", row_errors=(), notes=())
    bundle = training.train(LinearRecipe(), material, output=folder / "bundle").bundle
    rows = ((f"{n}", f"{(post := posts[n % len(posts)]).text} {n}", post.language) for n in range(FILE_POSTS))
    source = folder / "posts.csv"
    source.write_text(csv_text([("id", "text", "language"), *rows]), encoding="utf-8")

    def theirs() -> None:
        table = csv.read_csv(source, parse_options=csv.ParseOptions(newlines_in_values=True))
        p = pipeline.predict_proba(table["text"].to_pylist())[:, 1]
        table = table.append_column("p", [p]).append_column("decision", [(p >= 0.5).astype(np.int8)])
        csv.write_csv(table, folder / "theirs.csv")

    return compare(
        f"linear default, a file of {FILE_POSTS:,} posts to a file",
        lambda: score_file(bundle, str(source), str(folder / "ours.csv"), replace=True),
        theirs,
    )


if __name__ == "__main__":
    main()
