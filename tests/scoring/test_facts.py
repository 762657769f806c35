"""What is said once of a bundle: columns that it can fill, and the prevalence at which p_calibrated holds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from tests.golden.support import BUNDLES, POSTS, table

import polyvigil
from polyvigil.bundle.store import Bundle, load
from polyvigil.cli.main import run
from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import open_table
from polyvigil.decide.calibration import Calibration, HierarchicalPlatt, Identity, prior_shift, shifted
from polyvigil.errors import RecipeError
from polyvigil.monitor.counts import CountOptions, count_file
from polyvigil.review.scored_posts import read_scored
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.facts import ALL, OutputFacts, output_facts, read_output_facts, rebased
from polyvigil.scoring.wire import COLUMNS, NOTHING, as_cells, decision_columns, score_posts
from polyvigil.types import Post

TWELVE = [Post(row["id"], row["text"], row["language"]) for row in table(POSTS / "twelve.csv")]


def uncalibrated(bundle: Bundle) -> Bundle:
    return replace(bundle, calibration=Calibration(Identity()))


@pytest.fixture
def source(tmp_path: Path) -> str:
    with (tmp_path / "posts.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "language"])
        writer.writerows([post.id, post.text, post.language] for post in TWELVE)
    return str(tmp_path / "posts.csv")


@pytest.mark.parametrize("kind", ["linear", "averaged", "encoder", "nli", "stacked", "judged", "judged-chat"])
def test_what_is_left_out_held_nothing(kind: str) -> None:
    """A column that is left out is the same in every row of the whole record, and says nothing; the folder says the
    same without its members."""
    if kind not in ("linear", "averaged", "judged", "judged-chat"):
        pytest.importorskip("torch")
    bundle = load(BUNDLES / kind, device="cpu")
    facts = output_facts(bundle)
    assert facts == read_output_facts(BUNDLES / kind, bundle.manifest)
    whole = [as_cells(decision) for decision in score_posts(bundle, TWELVE)]
    for column in set(COLUMNS) - set(facts.columns):
        expected = [cells["p"] if column == "p_calibrated" else NOTHING[column] for cells in whole]
        assert [cells[column] for cells in whole] == expected
    assert ("spread" in facts.columns) == (len(bundle.all_members) > 1)
    assert ("n_tokens" in facts.columns) == (bundle.lengths(TWELVE) is not None)
    assert tuple(name for name in COLUMNS if name in facts.columns) == facts.columns


def test_the_prevalence_is_that_of_the_dev_posts(bundle: Bundle) -> None:
    facts = output_facts(bundle)
    assert isinstance(bundle.calibration.root, HierarchicalPlatt)
    for language in bundle.calibration.root.languages:
        labels = [label for label, own in zip(bundle.dev.labels, bundle.dev.languages, strict=True) if own == language]
        assert facts.prevalence_of(language) == pytest.approx(sum(labels) / len(labels))
    assert facts.prevalence_of("tlh") == pytest.approx(bundle.dev.labels.mean())
    assert facts.at({"en": 0.01}).prevalence_of("en") == 0.01
    assert facts.at({"en": 0.01}).prevalence_of("de") == facts.prevalence_of("de")
    assert facts.at({ALL: 0.02}).prevalence == {ALL: 0.02}
    assert output_facts(uncalibrated(bundle)).prevalence == {}


def test_re_basing_is_the_rule_of_bayes() -> None:
    """Two normal classes, of which P is known exactly at any prevalence."""
    scores = np.linspace(-3, 5, 101)
    ade, other = norm.pdf(scores, 2), norm.pdf(scores, 0)

    def p(prevalence: float) -> np.ndarray:
        return prevalence * ade / (prevalence * ade + (1 - prevalence) * other)

    assert shifted(p(0.14), prior_shift(0.14, 0.02)) == pytest.approx(p(0.02), rel=1e-9)
    assert shifted(np.array([0.0, 1.0]), -3.0).tolist() == [0.0, 1.0]
    facts = OutputFacts(prevalence={"en": 0.14, ALL: 0.3})
    columns = {"language": ["en", "de", "fa"], "p_calibrated": [0.5, 0.5, 0.5], "p": [0.1, 0.2, 0.3]}
    moved = rebased(columns, facts, {"en": 0.02, "de": 0.6})
    odds = 0.02 / 0.98 * 0.86 / 0.14
    assert moved["p_calibrated"] == pytest.approx([odds / (1 + odds), 3.5 / 4.5, 0.5], rel=1e-5)
    assert moved["p"] == columns["p"]
    assert rebased(columns, facts, {}) is columns


def test_re_based_posts_hold_as_many_ades_as_was_said() -> None:
    """Drawn posts, P calibrated at .2, of which a stream of .03 is read: the mean is .03, and not .2."""
    random = np.random.default_rng(0)
    labels = random.random(200_000) < 0.03
    scores = random.normal(2.0 * labels, 1.0)
    at_dev = 0.2 * norm.pdf(scores, 2) / (0.2 * norm.pdf(scores, 2) + 0.8 * norm.pdf(scores, 0))
    columns = {"language": ["en"] * len(scores), "p_calibrated": at_dev.tolist()}
    there = np.array(rebased(columns, OutputFacts(prevalence={ALL: 0.2}), {ALL: 0.03})["p_calibrated"])
    assert at_dev.mean() > 0.08
    assert there.mean() == pytest.approx(labels.mean(), abs=0.002)


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet", "o.xlsx"])
def test_file_and_python_leave_out_and_re_base_alike(bundle: Bundle, source: str, tmp_path: Path, name: str) -> None:
    spec = ScoreSpec(prevalence={ALL: 0.02, "ja": 0.5})
    summary = score_file(bundle, source, str(tmp_path / name), spec=spec)
    with open_table(tmp_path / name) as opened:
        rows = [dict(row.cells) for row in opened.rows]
    python = polyvigil.score(bundle, source, prevalence={ALL: 0.02, "ja": 0.5}).to_pylist()
    facts = output_facts(bundle)
    assert tuple(rows[0])[-len(facts.columns) :] == tuple(python[0])[-len(facts.columns) :] == facts.columns
    expected = rebased(decision_columns(bundle, TWELVE), facts, spec.prevalence)
    assert [float(row["p_calibrated"]) for row in rows] == expected["p_calibrated"]
    assert [row["p_calibrated"] for row in python] == expected["p_calibrated"]
    assert {part.language: part.prevalence for part in summary.languages}["ja"] == 0.5
    assert summary.added == facts.columns
    plain = decision_columns(bundle, TWELVE)
    assert expected["decision"] == plain["decision"]
    assert expected["p_calibrated"] != plain["p_calibrated"]


@pytest.mark.parametrize("dedup", ["off", "exact"])
def test_rows_and_columns_are_re_based_alike(bundle: Bundle, source: str, tmp_path: Path, dedup: str) -> None:
    spec = ScoreSpec(prevalence={ALL: 0.02}, dedup=dedup)  # type: ignore[arg-type]
    score_file(bundle, source, str(tmp_path / "o.jsonl"), spec=spec)
    values = [json.loads(line)["p_calibrated"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert values == rebased(decision_columns(bundle, TWELVE), output_facts(bundle), {ALL: 0.02})["p_calibrated"]


def test_old_files_and_new_ones_are_read_back(bundle: Bundle, source: str, tmp_path: Path) -> None:
    """A file without p_calibrated is read as one whose p_calibrated is p: for worklists, the store and the monitor."""
    pytest.importorskip("sqlalchemy")
    from polyvigil.review.scored_rows import ScoredRow, open_scored

    score_file(uncalibrated(bundle), source, str(tmp_path / "new.csv"))
    with open_table(tmp_path / "new.csv") as opened:
        assert "p_calibrated" not in opened.columns
        rows = [dict(row.cells) for row in opened.rows]
    with (tmp_path / "old.csv").open("w", newline="", encoding="utf-8") as stream:
        full = [{**row, "p_calibrated": row["p"], "spread": "0.0", "n_tokens": "", "truncated": "0"} for row in rows]
        writer = csv.DictWriter(stream, full[0])
        writer.writeheader()
        writer.writerows({**row, "flags": f"{row['flags'] or ''};threshold_doubtful".strip(";")} for row in full)
    old, new = (read_scored([str(tmp_path / name)]) for name in ("old.csv", "new.csv"))
    assert old.calibrated.tolist() == new.calibrated.tolist()
    assert old.fingerprint == new.fingerprint

    def stored(name: str) -> list[float]:
        with open_scored(tmp_path / name) as opened:
            return [row.p_calibrated for row in opened.rows if isinstance(row, ScoredRow)]

    assert stored("old.csv") == stored("new.csv") == [float(row["p"]) for row in rows]
    counts = [
        count_file(str(tmp_path / name), options=CountOptions(week="2026-W10")).cells for name in ("old.csv", "new.csv")
    ]
    assert counts[0] == counts[1]


def test_a_column_of_an_older_bundle_is_not_taken_for_ours(bundle: Bundle, source: str, tmp_path: Path) -> None:
    score_file(bundle, source, str(tmp_path / "first.csv"))
    score_file(uncalibrated(bundle), str(tmp_path / "first.csv"), str(tmp_path / "second.csv"))
    with open_table(tmp_path / "second.csv") as opened:
        assert "input_p_calibrated" in opened.columns
        assert "p_calibrated" not in opened.columns


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--prevalence", "1.5"], "--prevalence 1.5: a prevalence is between 0 and 1"),
        (["--prevalence", "en=0"], "--prevalence en=0: a prevalence is between 0 and 1"),
        (["--prevalence", "rare"], "'rare' is no number"),
        (["--prevalence", "=0.1"], "'=0.1' is not NAME=VALUE"),
    ],
)
def test_what_is_no_prevalence(
    bundle_folder: Path, source: str, tmp_path: Path, given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["score", str(bundle_folder), source, "-o", str(tmp_path / "o.csv"), *given]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o.csv").exists()


def test_without_a_calibration_nothing_is_re_based(bundle: Bundle, source: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="this bundle has no p_calibrated"):
        score_file(uncalibrated(bundle), source, str(tmp_path / "o.csv"), spec=ScoreSpec(prevalence={ALL: 0.1}))
    with pytest.raises(RecipeError, match="does not say at which prevalence"):
        OutputFacts().at({ALL: 0.1})


def test_facts_of_a_bundle_are_said_once(
    bundle_folder: Path, bundle: Bundle, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doubtful thresholds, the prevalence and what the columns mean: below the counts, and in the manifest."""
    out = tmp_path / "o.csv"
    assert (
        run(["score", str(bundle_folder), source, "-o", str(out), "--prevalence", "0.02", "--prevalence", "xx=0.1"])
        == 0
    )
    printed, told = capsys.readouterr()
    assert "p_calibrated holds where so many posts mention an ADE: 2.0%" in printed
    assert "--prevalence names xx, and no post is of it" in told
    assert "threshold_doubtful" not in out.read_text(encoding="utf-8")
    manifest = json.loads(Path(f"{out}.manifest.json").read_text(encoding="utf-8"))
    for part in manifest["languages"]:
        warnings = list(bundle.policy.threshold(part["language"]).warnings)
        assert part["threshold_warnings"] == warnings
        for warning in warnings:
            assert printed.count(warning) == 1
            assert part["language"] in printed.partition(f"): {warning}")[0].rpartition("doubtful threshold (")[2]
    assert any(part["threshold_warnings"] for part in manifest["languages"])
    assert run(["inspect", str(bundle_folder)]) == 0
    shown = capsys.readouterr().out
    assert (
        f"p_calibrated holds where so many posts mention an ADE: de {output_facts(bundle).prevalence['de']:.1%}"
        in shown
    )
