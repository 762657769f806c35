"""Two bundles on the same posts: what is compared, by hand; the command; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import polyvigil
from polyvigil.bundle.store import Bundle, load
from polyvigil.cli import main as program
from polyvigil.config.load import load as load_recipe
from polyvigil.data.read import read_labelled
from polyvigil.data.write import write_posts
from polyvigil.errors import DataError, RecipeError, SplitError
from polyvigil.evaluation.compare import compare, compare_several, verdict
from polyvigil.evaluation.paired import Difference, holm
from polyvigil.metrics import count
from polyvigil.text.mask import mask
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


@pytest.fixture(scope="module")
def words(material: training.TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third bundle."""
    folder = tmp_path_factory.mktemp("words") / "bundle"
    settings = ["model.word_ngrams=[1, 1]", "model.character_ngrams=[2, 3]"]
    training.train(load_recipe("linear", settings=settings), material, output=folder)
    return folder


def test_several_bundles_are_compared_with_the_first_and_corrected_together(
    bundle: Bundle, poor: Path, words: Path, test_posts: Path
) -> None:
    reading = read_labelled(test_posts)
    bundles = [load(poor), bundle, load(words)]
    several = compare_several(bundles, reading)
    pairs = [compare(bundles[0], other, reading) for other in bundles[1:]]
    assert [one.bundle for one in several.bundles] == [other.id for other in bundles[1:]]
    assert [one.flips for one in several.bundles] == [pair.flips for pair in pairs]
    p_values = [pair.paired.pooled.f1.p_randomisation for pair in pairs]
    assert [one.paired.pooled.f1.p_holm for one in several.bundles] == pytest.approx(holm(p_values))  # type: ignore[arg-type]
    of_languages = [part.f1 for pair in pairs for part in pair.paired.languages if part.positives]
    corrected = [part.f1.p_holm for one in several.bundles for part in one.paired.languages if part.positives]
    expected = holm([f1.p_randomisation for f1 in of_languages if f1.p_randomisation is not None])
    assert corrected == pytest.approx(expected)
    assert max(corrected) > max(f1.p_holm or 0.0 for f1 in of_languages) or max(corrected) == 1.0
    for one, pair in zip(several.bundles, pairs, strict=True):
        assert one.paired.pooled.f1.difference == pair.paired.pooled.f1.difference
        assert one.verdict.startswith(("better", "worse", "not distinguishable"))
    with pytest.raises(DataError, match="a bundle is given twice"):
        compare_several([bundles[0], bundle, bundle], reading)


def test_several_bundles_on_the_command_line(
    bundle_folder: Path,
    poor: Path,
    words: Path,
    test_posts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One table of all, and the turned decisions with their texts where they are asked for."""
    folders = [str(poor), str(bundle_folder), str(words)]
    arguments = ["compare", *folders, str(test_posts), "-o", str(tmp_path / "c.json")]
    assert program.run([*arguments, "--table", "csv", "--turned", str(tmp_path / "t.jsonl"), "--mask"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("language,bundle,posts,positives,F1,difference,difference low")
    document = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    n_languages = len(document["bundles"][0]["paired"]["languages"])
    assert len(lines) == 1 + 3 * (n_languages + 1)
    pooled = [line.split(",") for line in lines if line.startswith("pooled,")]
    expected = [one["paired"]["pooled"]["f1"]["difference"] for one in document["bundles"]]
    assert [float(row[5]) for row in pooled[1:]] == expected
    assert "t.jsonl holds masked text of posts" in err
    texts = {item.post.id: item.post.text for item in read_labelled(test_posts).posts}
    turned = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    flips = [(one["bundle"], flip["id"]) for one in document["bundles"] for flip in one["flips"]]
    assert [(line["bundle"], line["id"]) for line in turned] == flips
    assert all(line["text"] == mask(texts[line["id"]]) for line in turned)
    assert not any(
        text in (tmp_path / "c.json").read_text(encoding="utf-8") for text in texts.values() if len(text) > 9
    )
    assert program.run([*arguments, "--turned", str(tmp_path / "t.jsonl")]) == 2
    assert "a comparison stands there already" in capsys.readouterr().err
    assert program.run([*arguments, "--turned", str(tmp_path / "c.json"), "--replace"]) == 2
    assert "c.json: is the file of --output too" in capsys.readouterr().err
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8")) == document
    assert program.run([*arguments, "--replace", "--turned", str(tmp_path / "t.jsonl"), "--drop-text"]) == 0
    assert "t.jsonl holds no text of posts" in capsys.readouterr().err
    dropped = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    assert dropped == [{name: value for name, value in line.items() if name != "text"} for line in turned]
    of_python = polyvigil.compare(poor, [bundle_folder, load(words)], test_posts)
    assert of_python.model_dump(mode="json") == document


@pytest.mark.parametrize(
    ("n_bundles", "gate", "message"),
    [
        (0, False, "second: 0 bundles to compare with the first; give one to 9"),
        (10, False, "second: 10 bundles to compare with the first; give one to 9"),
        (2, True, "gate: is for two bundles"),
    ],
)
def test_a_list_of_bundles_that_cannot_be_compared(n_bundles: int, gate: bool, message: str, poor: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        polyvigil.compare(poor, [poor] * n_bundles, [], gate=gate)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A", "posts.csv"], "give two to 10 bundles, and a file"),
        (["A", "B", "C", "posts.csv", "--gate"], "--gate is for two bundles"),
        (["A", "B", "posts.csv", "--gate", "--turned", "t.jsonl"], "--gate is for two bundles"),
        (["A", "B", "posts.csv", "--mask"], "only --turned has text of posts"),
        (["A", "B", "posts.csv", "--drop-text"], "only --turned has text of posts"),
        (["A", "B", "posts.csv", "--turned", "t", "--mask", "--drop-text"], "the text is masked or left out"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["compare", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
