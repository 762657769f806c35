"""Two bundles on the same posts: what is compared, by hand; the command; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.cli import main as program
from polyvigil.config.load import load as load_recipe
from polyvigil.data.read import read_labelled
from polyvigil.data.write import write_posts
from polyvigil.errors import DataError, SplitError
from polyvigil.evaluation.compare import compare, verdict
from polyvigil.evaluation.paired import Difference
from polyvigil.metrics import count
from polyvigil.types import LabelledPost
from polyvigil.workflows import train as training


@pytest.fixture(scope="module")
def poor(material: training.TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that sees single words of few posts only."""
    few = training.TrainingData(material.train[::6], material.dev, "synthetic", (), ())
    folder = tmp_path_factory.mktemp("poor") / "bundle"
    settings = ["model.word_ngrams=[1, 1]", "model.character_ngrams=[2, 2]", "model.C=0.01"]
    training.train(load_recipe("linear", settings=settings), few, output=folder)
    return folder


@pytest.fixture(scope="module")
def test_posts(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("posts") / "test.csv"
    chosen = [item for item in corpus if item.post.split == "test" and item.post.language in {"en", "ja", "de"}]
    write_posts(path, chosen)
    return path


def test_a_comparison_holds_both_evaluations(bundle: Bundle, poor: Path, test_posts: Path) -> None:
    from polyvigil.bundle.store import load

    reading = read_labelled(test_posts)
    other = load(poor)
    told = compare(other, bundle, reading)
    posts = [item.post for item in reading.posts]
    languages = [post.language for post in posts]
    labels = np.array([item.label for item in reading.posts], dtype=np.int8)
    flags = [one.policy.flags(one.probabilities(posts), languages) for one in (other, bundle)]
    figures = [count(labels, some).f1 for some in flags]
    assert told.paired.pooled.f1.first == figures[1]  # the difference is second less first
    assert told.paired.pooled.f1.difference == pytest.approx(figures[1] - figures[0])
    assert [flip.id for flip in told.flips] == [
        post.id for post, one, two in zip(posts, *flags, strict=True) if one != two
    ]
    for flip in told.flips:
        place = [post.id for post in posts].index(flip.id)
        assert flip.mended == (flags[1][place] == bool(flip.label))
    assert told.verdict.startswith("the second bundle is better: pooled F1 +")
    en = next(part for part in told.calibration if part.language == "en")
    mine = np.array(languages) == "en"
    assert en.prevalence == labels[mine].mean()
    calibrated = bundle.calibration.calibrated(bundle.probabilities(posts), languages)
    assert en.second_mean == pytest.approx(calibrated[mine].mean())
    assert en.second.brier == pytest.approx(np.mean((calibrated[mine] - labels[mine]) ** 2))
    assert [shift.language for shift in told.shifts] == ["de", "en", "ja"]


@pytest.mark.parametrize(
    ("low", "difference", "high", "p", "sentence"),
    [
        (0.01, 0.02, 0.03, 0.01, "the second bundle is better: pooled F1 +0.020 (+0.010 to +0.030), p = 0.010"),
        (-0.03, -0.02, -0.01, 0.04, "the first bundle is better: pooled F1 -0.020 (-0.030 to -0.010), p = 0.040"),
        (-0.01, 0.02, 0.05, 0.04, "not distinguishable"),
        (
            0.01,
            0.02,
            0.03,
            0.06,
            "not distinguishable: pooled F1 +0.020 (+0.010 to +0.030), p = 0.06; these posts would",
        ),
    ],
)
def test_verdict_sentences_of_differences(low: float, difference: float, high: float, p: float, sentence: str) -> None:
    told = Difference(
        first=0.72,
        second=0.7,
        difference=difference,
        low=low,
        high=high,
        standard_error=0.01,
        detectable=0.028,
        p_bootstrap=p,
        p_randomisation=p,
    )
    assert verdict(told).startswith(sentence)


def test_the_command_prints_and_writes(
    bundle_folder: Path, poor: Path, test_posts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = ["compare", str(poor), str(bundle_folder), str(test_posts), "-o", str(tmp_path / "c.json")]
    assert program.run(line) == 0
    out = capfd.readouterr().out
    assert "the second bundle is better" in out
    assert "decisions turned" in out
    written = json.loads((tmp_path / "c.json").read_text())
    assert program.run([*line, "--replace", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert data.pop("verdict").startswith("the second")
    assert data == written


def test_training_posts_and_equal_bundles_are_refused(
    bundle: Bundle, material: training.TrainingData, test_posts: Path, tmp_path: Path
) -> None:
    write_posts(tmp_path / "train.csv", material.train)
    with pytest.raises(SplitError, match="were trained on"):
        compare(bundle, bundle, read_labelled(tmp_path / "train.csv"))
    with pytest.raises(DataError, match="both bundles are the same"):
        compare(bundle, bundle, read_labelled(test_posts))
