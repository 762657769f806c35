"""New thresholds for an old bundle: members untouched, figures twice, stale thresholds refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from polyvigil.bundle import layout
from polyvigil.bundle.store import Bundle, load, save
from polyvigil.cli import main as program
from polyvigil.config.decide import DecideSpec, FBetaObjective, RecallObjective
from polyvigil.data.write import write_posts
from polyvigil.decide.policy import flagged
from polyvigil.errors import BundleError
from polyvigil.metrics import count
from polyvigil.scoring.wire import score_posts
from polyvigil.types import LabelledPost
from polyvigil.workflows import train as training
from polyvigil.workflows.tune import Plan, keep_rates, recipe_of, tune_bundle


def _files(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "members").rglob("*.*")}


def test_stored_dev_scores_are_those_of_the_members(bundle: Bundle, material: training.TrainingData) -> None:
    posts = [item.post for item in material.dev]
    assert (bundle.dev.by_member == bundle.member_probabilities(posts)).all()
    assert bundle.dev.labels.tolist() == [item.label for item in material.dev]
    assert bundle.dev.languages.tolist() == [post.language for post in posts]
    assert bundle.dev.types.tolist() == [post.type for post in posts]
    same = {name for name in bundle.dev.group_names if name}
    assert len(same) == len({post.group for post in posts} - {""})


def test_stored_scores_give_the_same_thresholds(
    bundle: Bundle, bundle_folder: Path, material: training.TrainingData, tmp_path: Path
) -> None:
    spec = DecideSpec(rule="paper-grid")
    stored = tune_bundle(bundle_folder, bundle, Plan(spec), output=tmp_path / "stored")
    fresh = tune_bundle(bundle_folder, bundle, Plan(spec, dev=material.dev, data="dev.csv"), output=tmp_path / "fresh")
    assert stored.bundle.id == fresh.bundle.id != bundle.id
    assert _files(tmp_path / "stored") == _files(bundle_folder)
    assert stored.bundle.policy.thresholds["en"].rule == "paper-grid"
    assert recipe_of(tmp_path / "stored").decide == spec
    assert recipe_of(tmp_path / "stored").model == recipe_of(bundle_folder).model
    for name in ("same_set", "pooled", "macro_f1", "cross_fitted_macro_f1", "languages"):
        assert getattr(stored.evaluation, name) == getattr(fresh.evaluation, name)
    again = tune_bundle(tmp_path / "stored", stored.bundle, Plan(bundle.policy.spec), output=tmp_path / "again")
    assert again.bundle.id == bundle.id  # back where it came from


def test_an_objective_is_met_and_shifts_are_reported(bundle: Bundle, bundle_folder: Path, tmp_path: Path) -> None:
    spec = DecideSpec(rule="argmax", objective=RecallObjective(at_least=0.95))
    made = tune_bundle(bundle_folder, bundle, Plan(spec), output=tmp_path / "b")
    for part in made.evaluation.languages:
        assert part.recall >= 0.95
    for shift in made.shifts:
        assert shift.old == bundle.policy.threshold(shift.language).value
        assert shift.new == made.bundle.policy.threshold(shift.language).value
        mine = bundle.dev.languages == shift.language
        assert shift.new_share == np.mean(flagged(bundle.dev.by_member[0][mine], shift.new))


def test_dev_values_are_same_set_and_cross_fitted(trained: training.Trained, bundle: Bundle) -> None:
    for part in (trained.evaluation.pooled, *trained.evaluation.languages):
        assert part.cross_fitted is not None
        assert part.cross_fitted.f1_interval.low <= part.cross_fitted.f1 <= part.cross_fitted.f1_interval.high
    scores = bundle.dev.by_member[0]
    en = bundle.dev.languages == "en"
    own = bundle.policy.thresholds["en"]
    assert own.same_set_f1 == count(bundle.dev.labels[en], flagged(scores[en], own.value)).f1
    assert own.low is not None
    assert own.high is not None
    assert own.low <= own.value <= own.high


def test_a_language_without_labels_gets_a_threshold(
    bundle: Bundle, bundle_folder: Path, corpus: tuple[LabelledPost, ...], tmp_path: Path
) -> None:
    posts = tuple(item.post for item in corpus if item.post.language in {"fr", "en"})
    plan = Plan(DecideSpec(), unlabelled=posts, priors={})
    made = tune_bundle(bundle_folder, bundle, plan, output=tmp_path / "b")
    french = made.bundle.policy.thresholds["fr"]
    assert french.source == "similar"
    assert made.bundle.policy.thresholds["en"].source == "own"  # its labels tell more
    rows = score_posts(made.bundle, posts)
    assert {row.threshold_source for row in rows if row.language == "fr"} == {french.source_name}
    assert all("language_not_trained" in row.flags for row in rows if row.language == "fr")
    known = tune_bundle(
        bundle_folder, bundle, Plan(DecideSpec(), unlabelled=posts, priors={"fr": 0.2}), output=tmp_path / "p"
    )
    mine = [row for row in score_posts(known.bundle, posts) if row.language == "fr"]
    assert sum(row.decision for row in mine) == pytest.approx(0.2 * len(mine), abs=1)


def test_rates_are_kept(bundle: Bundle, bundle_folder: Path, corpus: tuple[LabelledPost, ...], tmp_path: Path) -> None:
    """The 'retrained' bundle has the same members at other thresholds: transport must give the old decisions back."""
    other = tune_bundle(
        bundle_folder, bundle, Plan(DecideSpec(objective=FBetaObjective(beta=4.0))), output=tmp_path / "other"
    )
    posts = [item.post for item in corpus if item.post.language in {"de", "en"}]
    assert [row.decision for row in score_posts(other.bundle, posts)] != [
        row.decision for row in score_posts(bundle, posts)
    ]
    made = keep_rates(tmp_path / "other", other.bundle, bundle, posts, output=tmp_path / "kept")
    assert [row.decision for row in score_posts(made.bundle, posts)] == [
        row.decision for row in score_posts(bundle, posts)
    ]
    assert not made.evaluation.same_set  # no labelled post gave these thresholds: nothing to cross-fit
    assert made.bundle.policy.thresholds["ja"] == other.bundle.policy.thresholds["ja"]  # none of its posts was there


def test_stale_thresholds_are_refused(bundle: Bundle, bundle_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_folder, tmp_path / "b")
    policy = json.loads((tmp_path / "b" / layout.POLICY).read_text())
    policy["tuned_for"] = "0" * 16
    (tmp_path / "b" / layout.POLICY).write_text(json.dumps(policy))
    manifest = json.loads((tmp_path / "b" / layout.MANIFEST).read_text())
    raw = (tmp_path / "b" / layout.POLICY).read_bytes()
    manifest["files"][layout.POLICY] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    (tmp_path / "b" / layout.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="id does not match"):
        load(tmp_path / "b")
    from polyvigil.bundle.verify import bundle_id

    manifest["id"] = bundle_id(layout.Manifest.model_validate(manifest))
    (tmp_path / "b" / layout.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"its thresholds are stale.*polyvigil tune BUNDLE DEV\.csv"):
        load(tmp_path / "b")
    assert program.run(["tune", str(tmp_path / "b"), "-o", str(tmp_path / "mended"), "-q"]) == 0
    assert load(tmp_path / "mended").policy.tuned_for == bundle.policy.tuned_for


def test_weights_or_dev_scores_of_other_members_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    parts = {name: getattr(bundle, name) for name in ("policy", "calibration", "seen")}
    wrong = bundle.combination.model_copy(update={"weights": (1.0, 0.7)})
    with pytest.raises(BundleError, match="weights or dev scores are of other members"):
        save(tmp_path / "b", members=bundle.members, combination=wrong, dev=bundle.dev, documents={}, **parts)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (["--prior", "fa=x"], 2, "is not LANGUAGE=SHARE"),
        (["--prior", "en=0.1"], 2, "this one has labelled dev posts"),
        (["--prior", "fa=0.1"], 2, "no unlabelled posts of this language"),
        (["--set", "model.C=2"], 2, "members stay as they are"),
        (["--set", "decide.rule=bland"], 2, "'blend'"),
        (["--like", "{bundle}"], 2, "with --like give one file of posts"),
    ],
)
def test_bad_input_to_tune_is_refused(
    line: list[str], code: int, message: str, bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.format(bundle=bundle_folder) for argument in line]
    assert program.run(["tune", str(bundle_folder), "-o", str(tmp_path / "b"), *arguments]) == code
    assert message in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "b").exists()


def test_the_command_shows_old_and_new_thresholds(
    bundle_folder: Path, corpus: tuple[LabelledPost, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_posts(tmp_path / "fr.csv", [item for item in corpus if item.post.language == "fr"])
    line = ["tune", str(bundle_folder), "-o", str(tmp_path / "b"), "--set", "decide.rule=argmax"]
    assert program.run([*line, "--unlabelled", str(tmp_path / "fr.csv")]) == 0
    told = capfd.readouterr().out
    assert "flagged before" in told
    assert "cross-fitted" in told
    assert "similar" in told
    assert program.run([*line, "--unlabelled", str(tmp_path / "fr.csv"), "--replace", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["data"]["thresholds"]["fr"]["source"] == "similar"
    assert {shift["language"] for shift in document["data"]["shifts"]} >= {"en", "fr"}
