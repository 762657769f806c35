"""May a new bundle replace the old one: what is decided of a difference, and the command on bundles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Ran
from tests.review.made import Cells, read_csv, write_rows

import polyvigil
from polyvigil.bundle.store import load
from polyvigil.checks.replacement_gate import MARGIN, compare_for_replacement, decide
from polyvigil.data.read import read_labelled
from polyvigil.errors import DataError, RecipeError, SplitError
from polyvigil.evaluation.compare import compare
from polyvigil.evaluation.weighted_difference import WeightedDifference

GOLDEN = Path(__file__).parents[1] / "golden"
LINEAR, WORDS = GOLDEN / "bundles" / "linear", GOLDEN / "bundles" / "words"


def difference(value: float, half: float) -> WeightedDifference:
    low, high = value - half, value + half
    return WeightedDifference(
        first=0.5, second=0.5 + value, difference=value, low=low, high=high, at_least=low, at_most=high
    )


@pytest.mark.parametrize(
    ("value", "half", "verdict", "sentence"),
    [
        (0.0, 0.04, "not worse", "F1 +0.000, at least -0.040 with 95% certainty"),
        (-0.04, 0.005, "not worse", "F1 -0.040, at least -0.045"),
        (-0.1, 0.05, "worse", "F1 -0.100, at most -0.050"),
        (0.0, 0.1, "undecided", "about 800 audited posts, and as many more of the queue would decide it"),
        (-0.03, 0.04, "undecided", "the new bundle rather looks worse"),
    ],
)
def test_what_a_difference_lets_one_say(value: float, half: float, verdict: str, sentence: str) -> None:
    said = decide(difference(value, half), MARGIN, posts=300, positives=60, audited=200)
    assert said[0] == verdict
    assert sentence in said[1]


def test_too_few_posts_say_nothing() -> None:
    sure = difference(0.1, 0.01)
    assert decide(sure, MARGIN, posts=300, positives=0, audited=200)[1] == "no ADE among 300 posts, so nothing is known"
    assert "about 500 reviewed posts would hold 10" in decide(sure, MARGIN, posts=300, positives=6, audited=200)[1]
    assert "at least 50 are needed" in decide(sure, MARGIN, posts=300, positives=60, audited=49)[1]
    assert decide(sure, MARGIN, posts=300, positives=60, audited=None)[0] == "not worse"
    assert decide(sure, MARGIN, posts=300, positives=60, audited=0)[0] == "too few"
    assert "about 1,200 posts would" in decide(difference(0, 0.1), MARGIN, posts=300, positives=60, audited=None)[1]


@pytest.fixture
def reviewed(tmp_path: Path, ran: Ran) -> Path:
    """A worklist of the word bundle with its audit, decided by the labels of the posts."""
    scored, worklist = tmp_path / "scored.csv", tmp_path / "list.csv"
    assert ran("score", WORDS, GOLDEN / "posts" / "test.csv", "-o", scored)[0] == 0
    assert ran("worklist", scored, "--budget", 240, "--audit", 150, "-o", worklist)[0] == 0
    return write_rows(tmp_path / "reviewed.csv", [row | {"label": row["input_label"]} for row in read_csv(worklist)])


def test_a_better_bundle_may_replace_and_a_worse_one_may_not(ran: Ran, reviewed: Path, tmp_path: Path) -> None:
    code, out, err = ran("compare", WORDS, LINEAR, reviewed, "--gate", "--json", "-o", tmp_path / "gate.json")
    data = json.loads(out)["data"]
    assert data["pooled"]["f1"]["difference"] > 0, err
    assert data["pooled"]["audited"] > 140
    names = [gate["name"] for gate in data["gates"]]
    assert names == ["f1-not-kept", "language-worse", "flag-rate-moved"]
    assert [gate["passed"] for gate in data["gates"]][:2] == [True, True]
    assert json.loads((tmp_path / "gate.json").read_text(encoding="utf-8"))["pooled"] == data["pooled"]
    code, out, _ = ran("compare", LINEAR, WORDS, reviewed, "--gate")
    assert code == 3
    assert "the new bundle does not show that it may replace the old one" in out
    assert "f1-not-kept: pooled: F1 -" in out


def test_python_says_the_same(ran: Ran, reviewed: Path) -> None:
    rates = GOLDEN / "posts" / "test.csv"
    code, out, err = ran("compare", WORDS, LINEAR, reviewed, "--gate", "--margin", "0.1", "--rates", rates, "--json")
    result = polyvigil.compare(WORDS, LINEAR, reviewed, gate=True, margin=0.1, rates=rates)
    expected = json.loads(out)["data"]
    assert json.loads(json.dumps(result.model_dump(mode="json"))) | {"holds": result.holds} == expected, err
    assert code == (0 if result.holds else 3)
    for options in ({"margin": 0.1}, {"rates": rates}):
        with pytest.raises(RecipeError, match="is of the gate alone"):
            polyvigil.compare(WORDS, LINEAR, reviewed, **options)  # type: ignore[call-overload]
    with pytest.raises(RecipeError, match=r"margin: 1\.5 is not between 0 and 1"):
        polyvigil.compare(WORDS, LINEAR, reviewed, gate=True, margin=1.5)


def test_posts_that_were_all_labelled(ran: Ran) -> None:
    posts = GOLDEN / "posts" / "test.csv"
    code, out, _ = ran("compare", LINEAR, WORDS, posts, "--gate", "--margin", 0.9, "--rates", posts)
    assert "flagged before" in out
    assert code == (0 if "every gate is passed" in out else 3)
    result = compare_for_replacement(load(LINEAR), load(WORDS), read_labelled(posts), margin=0.9)
    assert result.gates[0].passed
    whole = compare(load(LINEAR), load(WORDS), read_labelled(posts)).paired.pooled.f1
    assert result.pooled.audited == 0
    assert result.pooled.f1.first == pytest.approx(whole.second, abs=0.02)  # seen posts are left out here


def test_what_is_refused(ran: Ran, reviewed: Path) -> None:
    with pytest.raises(SplitError, match="cannot be compared on as if they were all posts"):
        compare(load(WORDS), load(LINEAR), read_labelled(reviewed))
    with pytest.raises(DataError, match="both bundles are the same"):
        compare_for_replacement(load(WORDS), load(WORDS), read_labelled(reviewed))
    rows: list[Cells] = read_csv(reviewed)
    without = write_rows(reviewed.with_name("queue.csv"), [row for row in rows if row["purpose"] == "queue"])
    code, out, _ = ran("compare", WORDS, LINEAR, without, "--gate")
    assert code == 3
    assert "none of its posts was audited" in out
    assert "nothing is known of 100% of them" in out
    for options in (["--margin", "0.1"], ["--gate", "--margin", "nan"], ["--rates", "x.csv"]):
        assert ran("compare", WORDS, LINEAR, reviewed, *options)[0] == 2
