"""``monitor add`` and ``monitor report`` as they are typed: the walk, exit codes, messages, documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from tests.cli.conftest import Ran
from tests.monitor.made import BUNDLE, made_monitor
from tests.review.made import Cells, many_rows, reviewed_worklist, scored_row, write_rows

from polyvigil.monitor.store import read_monitor

GOLDEN = Path(__file__).parents[1] / "golden"


def week_rows(week: int, *, prevalence: float = 0.05, posts: int = 400, bundle: str = BUNDLE) -> list[Cells]:
    random = np.random.default_rng(week)
    positive = random.random(posts) < prevalence
    p = expit(np.where(positive, random.normal(1, 1, posts), random.normal(-4, 1, posts)))
    return [
        scored_row(f"{week}-{n}", float(p[n]), language=("en", "de")[n % 2], bundle=bundle, source="forum")
        for n in range(posts)
    ]


def test_from_scored_files_to_an_alarm(ran: Ran, tmp_path: Path) -> None:
    monitor, page = tmp_path / "monitor.jsonl", tmp_path / "drift.html"
    for week in range(1, 13):
        scored = write_rows(tmp_path / f"w{week}.csv", week_rows(week, prevalence=0.05 if week < 11 else 0.4))
        code, out, err = ran("monitor", "add", monitor, scored, "--week", f"2026-W{week:02d}")
        assert code == 0, err
        assert f"{scored}: 400 posts of 2026-W{week:02d} counted" in out
        if week in (3, 9):
            code, out, err = ran("monitor", "report", monitor)
            assert code == 0, err
            assert ("no alarm holds in 2026-W09" in out) == (week == 9)
            assert ("alarms begin with week 9" in err) == (week == 3)
    code, out, err = ran("monitor", "report", monitor, "-o", page)
    assert code == 3, err
    assert "ALARM: en/forum: flag rate" in out
    assert f"page -> {page}" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("page ->")) <= 80
    assert f"polyvigil monitor report {monitor} -o {page}" in page.read_text(encoding="utf-8")
    assert "pill" not in page.read_text(encoding="utf-8") + monitor.read_text(encoding="utf-8")
    code, out, err = ran("monitor", "report", monitor, "-o", page)
    assert code == 2
    assert "--replace" in err
    assert ran("monitor", "report", monitor, "-o", page, "--replace")[0] == 3
    code, out, _ = ran("monitor", "report", monitor, "--json", "--reference-weeks", 4)
    document = json.loads(out)
    assert (code, document["ok"]) == (3, False)
    assert document["data"]["reference_weeks"] == ["2026-W01", "2026-W02", "2026-W03", "2026-W04"]
    assert any(alarm["holds"] and alarm["metric"] == "flagged" for alarm in document["data"]["alarms"])


def test_all_files_are_added_or_none(ran: Ran, tmp_path: Path) -> None:
    good = write_rows(tmp_path / "good.csv", week_rows(1, posts=20))
    bad = write_rows(tmp_path / "more.csv", [*week_rows(2, posts=20), week_rows(3, posts=1, bundle="f" * 16)[0]])
    monitor = tmp_path / "monitor.jsonl"
    code, _, err = ran("monitor", "add", monitor, good, bad, "--week", "2026-W12")
    assert code == 2
    assert f"{bad}:22: column \"bundle\": 'ffffffffffffffff' has scored this row" in err
    assert not monitor.exists()
    code, _, err = ran("monitor", "add", monitor, good, "--week", "2026-W12", "--bundle", "f" * 16)
    assert code == 2
    assert f"{good}:2: " in err
    assert ran("monitor", "add", monitor, good, "--week", "2026-W12", "--bundle", BUNDLE)[0] == 0
    code, _, err = ran("monitor", "add", monitor, good, "--week", "2026-W13")
    assert code == 2
    assert "was added already" in err
    assert ran("monitor", "add", monitor, good, "--week", "2026-W13", "--replace")[0] == 0
    assert [entry.weeks for entry in read_monitor(monitor).entries] == [{"2026-W13"}]


def test_the_folder_of_a_bundle_names_it(ran: Ran, tmp_path: Path) -> None:
    bundle, scored = GOLDEN / "bundles" / "linear", tmp_path / "scored.csv"
    assert ran("score", bundle, GOLDEN / "posts" / "test.csv", "-o", scored)[0] == 0
    code, out, err = ran("monitor", "add", tmp_path / "m", scored, "--week", "2026-W12", "--bundle", bundle, "--json")
    assert code == 0, err
    [facts] = json.loads(out)["data"]["files"]
    assert facts["bundle"] == json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))["id"]
    other = GOLDEN / "bundles" / "words"
    code, _, err = ran("monitor", "add", tmp_path / "m2", scored, "--week", "2026-W12", "--bundle", other)
    assert code == 2
    assert "the bundle named is" in err
    assert ran("monitor", "add", tmp_path / "m2", scored, "--week", "2026-W12", "--bundle", tmp_path)[0] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing says of which week the posts are"),
        (["--week", "2026-12"], "'2026-12' is no ISO week"),
        (["--week", "2026-W12", "--date", "created_at"], "all posts are of one week, or each of the week of its date"),
        (["--date", "when"], "there is no column 'when'"),
        (["--week", "2026-W12", "--source", "all"], "is no name of a source"),
    ],
)
def test_options_that_do_not_fit_are_named(ran: Ran, tmp_path: Path, options: list[str], message: str) -> None:
    scored = write_rows(tmp_path / "scored.csv", week_rows(1, posts=5))
    code, _, err = ran("monitor", "add", tmp_path / "m.jsonl", scored, *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "m.jsonl").exists()


def test_no_other_file_is_written_to(ran: Ran, tmp_path: Path) -> None:
    scored = write_rows(tmp_path / "scored.csv", week_rows(1, posts=5))
    before = scored.read_bytes()
    code, _, err = ran("monitor", "add", scored, scored, "--week", "2026-W12")
    assert code == 2
    assert "input and output are one file" in err
    other = write_rows(tmp_path / "other.csv", week_rows(2, posts=5))
    code, _, err = ran("monitor", "add", scored, other, "--week", "2026-W12")
    assert code == 2
    assert "is no monitor" in err
    inside = GOLDEN / "bundles" / "linear" / "monitor.jsonl"
    assert ran("monitor", "add", inside, scored, "--week", "2026-W12")[0] == 2
    assert not inside.exists()
    assert scored.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reference-weeks", "3"], "--reference-weeks: 3: input should be greater than or equal to 4"),
        (["--false-alarms", "0"], "--false-alarms: 0.0: input should be greater than 0"),
        (["--start", "week"], "--start: 'week' is no ISO week"),
        (["--start", "2027-W01"], "has no week of bundle"),
        (["--audited", "absent.json"], "absent.json: no such file"),
    ],
)
def test_report_says_what_is_wrong(ran: Ran, tmp_path: Path, options: list[str], message: str) -> None:
    made_monitor(tmp_path / "m.jsonl", 9, streams={("en", ""): 50})
    code, _, err = ran("monitor", "report", tmp_path / "m.jsonl", *options)
    assert code == 2
    assert message in err


def test_a_report_needs_a_monitor(ran: Ran, tmp_path: Path) -> None:
    code, _, err = ran("monitor", "report", tmp_path / "m.jsonl")
    assert code == 2
    assert "there is no such monitor" in err
    assert "make it: polyvigil monitor add STORE SCORED..." in err


def test_audited_metrics_of_a_review_store(ran: Ran, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    rows = week_rows(1, prevalence=0.2, posts=200)
    scored, store = write_rows(tmp_path / "scored.csv", rows), tmp_path / "review.db"
    assert ran("review", "add", store, scored, "--audit", 20)[0] == 0
    made_monitor(tmp_path / "m.jsonl", 9, streams={("en", ""): 60})
    metrics = tmp_path / "metrics.json"
    assert ran("review", "metrics", store, "-o", metrics)[0] == 0
    documents: list[Any] = []
    for options in (["--review", store], ["--audited", metrics]):
        code, out, err = ran("monitor", "report", tmp_path / "m.jsonl", *options, "--json")
        assert code == 0, err
        documents.append(json.loads(out)["data"]["audited"])
    assert documents[0] == documents[1]
    assert [one["language"] for one in documents[0]] == ["de", "en", "all"]
    assert all("flagged posts are still to be read" in " ".join(one["remarks"]) for one in documents[0])
    code, out, _ = ran("monitor", "report", tmp_path / "m.jsonl", "--audited", f"2026-W09={metrics}")
    assert "2026-W09" in out
    assert max(map(len, out.splitlines())) <= 80


def test_audited_metrics_of_estimate(ran: Ran, tmp_path: Path) -> None:
    scored, reviewed = reviewed_worklist(tmp_path, many_rows(900), budget=300, audit=150)
    code, out, err = ran("estimate", scored, "--reviewed", reviewed, "--json")
    assert code == 0, err
    (tmp_path / "estimate.json").write_text(out, encoding="utf-8")
    whole = json.loads(out)["data"]["languages"][0]
    counted = whole["estimate"]
    made_monitor(tmp_path / "m.jsonl", 9, streams={("en", ""): 60})
    code, out, err = ran("monitor", "report", tmp_path / "m.jsonl", "--audited", tmp_path / "estimate.json", "--json")
    assert code == 0, err
    [english] = json.loads(out)["data"]["audited"]
    assert english["recall"] == whole["flags_recall"]
    assert english["precision"] == counted["true_positives"] / counted["read"]
    assert 0 < english["recall_by_scores"] < 1
