"""``worklist``, ``score --top`` and ``estimate`` as they are typed: the loop on a small bundle, messages, documents."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

GOLDEN = Path(__file__).parents[1] / "golden"
BUNDLE, POSTS = GOLDEN / "bundles" / "linear", GOLDEN / "posts" / "test.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def fill_in(worklist: Path, reviewed: Path) -> Path:
    rows = rows_of(worklist)
    for row in rows:
        row["label"] = row["input_label"]
        row["label_2"] = "1" if row["label"] == "1" else ""
    with reviewed.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return reviewed


def test_from_posts_to_an_estimate(ran: Ran, tmp_path: Path) -> None:
    worklist, scored = tmp_path / "list.csv", tmp_path / "list.scored.csv"
    code, out, err = ran(
        *("worklist", POSTS, "--bundle", BUNDLE, "--budget", 120, "--audit", 60, "-o", worklist, "--prevalence", "0.1")
    )
    assert code == 0, err
    assert "120 posts to read of " in out
    assert "By the scores alone the queue holds about " in out
    assert f"polyvigil estimate {scored} --reviewed {worklist}" in out
    assert "bounds what was missed; about 200 a language give a value" in err
    assert len(rows_of(worklist)) == 120
    assert len(rows_of(scored)) == len(rows_of(POSTS))
    code, out, err = ran("estimate", scored, "--reviewed", worklist)
    assert code == 0, err
    assert "120 posts of the worklist have no decision yet" in " ".join(out.split())
    reviewed = fill_in(worklist, tmp_path / "reviewed.csv")
    code, out, err = ran("estimate", scored, "--reviewed", reviewed)
    assert code == 0, err
    text = " ".join(out.split())
    assert "posts read were ADEs, precision" in text
    assert "with 95% certainty" in text
    assert text.count("are covered by the interval, not ruled out") == 1
    code, out, err = ran("estimate", scored, "--reviewed", reviewed, "--json")
    document = json.loads(out)
    assert document["ok"]
    assert document["data"]["pooled"]["estimate"]["audited"] == 60
    assert {one["estimate"]["name"] for one in document["data"]["languages"]} == {
        row["language"] for row in rows_of(scored)
    }


def test_the_summary_as_a_document(ran: Ran, tmp_path: Path) -> None:
    scored = tmp_path / "scored.csv"
    assert ran("score", BUNDLE, POSTS, "-o", scored)[0] == 0
    code, out, _ = ran("worklist", scored, "-o", tmp_path / "w.jsonl", "--budget", 50, "--quota", "de=9", "--json")
    assert code == 0
    data = json.loads(out)["data"]
    assert (data["queue"], data["audit"], data["quotas"]) == (40, 10, {"de": 9})
    assert ran("worklist", scored, "-o", tmp_path / "few.csv", "--budget", 20)[2].count("nothing can be said") == 1
    assert ran("worklist", scored, "-o", tmp_path / "none.csv", "--audit", 0)[2].count("without an audit") == 1
    assert next(one for one in data["languages"] if one["name"] == "de")["queue"] == 9
    assert data["pooled"]["queue"] == 40


def test_a_worklist_with_the_scores_in_one_step(ran: Ran, tmp_path: Path) -> None:
    scored = tmp_path / "scored.csv"
    code, out, err = ran("score", BUNDLE, POSTS, "-o", scored, "--top", 50)
    assert code == 0, err
    beside = tmp_path / "scored.worklist.csv"
    assert f"-> {beside}" in out
    assert ran("worklist", scored, "--budget", 50, "-o", tmp_path / "apart.csv")[0] == 0
    assert beside.read_text() == (tmp_path / "apart.csv").read_text()
    code, out, err = ran("score", BUNDLE, POSTS, "-o", scored, "--top", 50)
    assert code == 2
    code, out, err = ran("score", BUNDLE, POSTS, "-o", "-", "--top", 50)
    assert code == 2
    assert "--top" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quota", "de"), "'de' is not NAME=VALUE"),
        (("--quota", "de=many"), "'many' is no number of posts"),
        (("--prevalence", "rare"), "'rare' is no number"),
        (("--prevalence", "2"), "a prevalence is between 0 and 1"),
        (("--budget", "10", "--audit", "20"), "an audit of 20"),
    ],
)
def test_options_that_mean_nothing(ran: Ran, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = ran("worklist", POSTS, "-o", tmp_path / "w.csv", *arguments)
    assert code == 2
    assert message in err
    assert "next: " in err


def test_posts_that_are_not_scored(ran: Ran, tmp_path: Path) -> None:
    code, _, err = ran("worklist", POSTS, "-o", tmp_path / "w.csv")
    assert code == 2
    assert "is no output of polyvigil score" in err
    assert "--bundle BUNDLE" in err
    assert not (tmp_path / "w.csv").exists()
