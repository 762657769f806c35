"""A second stage on disk: stored apart in its own folder, read from the old layout too, verified like any member."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.golden.support import BUNDLES, POSTS, table

from polyvigil.bundle import store
from polyvigil.bundle.dev import read as read_dev
from polyvigil.bundle.store import Bundle, UnsavedSecondStage
from polyvigil.bundle.verify import verify
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.errors import BundleError
from polyvigil.scoring.wire import score_posts
from polyvigil.types import Post

JUDGED = ("judged", "judged-chat")


def _posts() -> list[Post]:
    return [Post(row["id"], row["text"], row["language"]) for row in table(POSTS / "test.csv")]


def _saved_again(name: str, output: Path, *, policy: DecisionPolicy | None = None) -> Bundle:
    """The stored bundle of the old layout, saved as bundles are saved today."""
    old = store.load(BUNDLES / name)
    assert old.second_stage is not None
    stage = old.second_stage
    return store.save(
        output,
        members=old.members,
        combination=old.combination,
        policy=policy or old.policy,
        calibration=old.calibration,
        dev=old.dev,
        seen=old.seen,
        documents={},
        second_stage=UnsavedSecondStage(stage.judge, stage.members, stage.combination.weights),
    )


@pytest.mark.parametrize("name", JUDGED)
def test_a_bundle_of_the_old_layout_has_its_judge_as_second_stage(name: str) -> None:
    bundle = store.load(BUNDLES / name)
    assert bundle.manifest.schema_version == 2
    assert len(bundle.manifest.members) == 2
    assert [member.kind for member in bundle.members] == ["linear"]
    assert bundle.second_stage is not None
    assert bundle.has_endpoint == (name == "judged-chat")
    assert [member.kind for member in bundle.second_stage.members] == [bundle.manifest.members[1].kind]
    assert bundle.dev.by_member.shape == (1, len(bundle.dev.labels))
    assert bundle.dev.second_stage is not None
    stored = json.loads((BUNDLES / name / "combination.json").read_text(encoding="utf-8"))
    assert bundle.combination_record.model_dump(mode="json") == stored


@pytest.mark.parametrize("name", JUDGED)
def test_the_second_stage_has_a_folder_of_its_own_and_decides_the_same(name: str, tmp_path: Path) -> None:
    old, new = store.load(BUNDLES / name), _saved_again(name, tmp_path / "b")
    kind = old.manifest.members[1].kind
    written = json.loads((tmp_path / "b" / "bundle.json").read_text(encoding="utf-8"))
    assert written["schema_version"] == 3
    assert [entry["folder"] for entry in written["members"]] == ["members/00-linear"]
    assert written["second_stage"] == [{"folder": f"second_stage/00-{kind}", "kind": kind}]
    assert f"second_stage/00-{kind}/config.json" in written["files"]
    assert (tmp_path / "b" / "combination.json").read_bytes() == (BUNDLES / name / "combination.json").read_bytes()
    rows = [read_dev(folder / "dev.safetensors").by_member for folder in (BUNDLES / name, tmp_path / "b")]
    assert np.array_equal(*rows, equal_nan=True)
    before, after = (score_posts(bundle, _posts()) for bundle in (old, new))
    decided = [
        [(each.p, each.decision, each.spread, each.flags) for each in decisions] for decisions in (before, after)
    ]
    assert decided[0] == decided[1]
    assert any("judge" in flag for each in after for flag in each.flags)
    assert np.array_equal(old.dev_scores().probabilities, new.dev_scores().probabilities)


def test_a_bundle_without_second_stage_is_written_as_before(tmp_path: Path) -> None:
    old = store.load(BUNDLES / "words")
    parts = {name: getattr(old, name) for name in ("combination", "policy", "calibration", "dev", "seen")}
    new = store.save(tmp_path / "b", members=store.copied(BUNDLES / "words", old), documents={}, **parts)
    written = json.loads((tmp_path / "b" / "bundle.json").read_text(encoding="utf-8"))
    assert (written["schema_version"], "second_stage" in written) == (2, False)
    before = json.loads((BUNDLES / "words" / "bundle.json").read_text(encoding="utf-8"))
    changed = {name for name, file in written["files"].items() if file != before["files"].get(name)}
    # Settings that were not there are written with what they meant; the names in a safetensors header have no order.
    assert changed <= {"policy.json", "dev.safetensors"}
    assert written["files"]["dev.safetensors"]["bytes"] == before["files"]["dev.safetensors"]["bytes"]
    assert new.second_stage is None


def test_the_second_stage_is_part_of_the_id(tmp_path: Path) -> None:
    new = _saved_again("judged", tmp_path / "b")
    entry = new.manifest.second_stage[0]
    shutil.rmtree(tmp_path / "b" / "members" / "00-linear")
    shutil.copytree(tmp_path / "b" / entry.folder, tmp_path / "b" / "members" / "00-linear")
    with pytest.raises(BundleError):
        verify(tmp_path / "b")
    assert new.id not in {store.load(BUNDLES / name).id for name in (*JUDGED, "words", "linear")}


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "second_stage" / "00-linear" / "more.json").write_text("{}"), "does not list"),
        (lambda f: (f / "second_stage" / "00-linear" / "config.json").write_text("{}"), "was changed or damaged"),
        (lambda f: shutil.rmtree(f / "second_stage"), "is missing"),
        (lambda f: _edit(f, schema_version=2), "unreadable"),
        (lambda f: _edit(f, second_stage=[]), "unreadable"),
        (lambda f: _edit(f, second_stage=[{"folder": "members/00-linear", "kind": "linear"}]), "is not allowed"),
        (lambda f: _edit(f, second_stage=[{"folder": "second_stage/../x", "kind": "linear"}]), "is not allowed"),
        (lambda f: _edit(f, second_stage=[{"folder": "second_stage/00-linear", "kind": "chat"}]), "id does not match"),
    ],
)
def test_a_damaged_second_stage_is_refused(tmp_path: Path, spoil: object, message: str) -> None:
    _saved_again("judged", tmp_path / "b")
    spoil(tmp_path / "b")  # type: ignore[operator]
    with pytest.raises(BundleError, match=message):
        store.load(tmp_path / "b")


def test_a_second_stage_scores_only_the_posts_in_its_bands() -> None:
    bundle, posts = store.load(BUNDLES / "judged"), _posts()
    scores = bundle.scores(posts)
    assert scores.second is not None
    assert 0 < scores.second.in_band.sum() < len(posts)
    assert np.array_equal(scores.second.answered, scores.second.in_band)
    assert not np.isnan(scores.first.probabilities).any()
    combined = bundle.combined(scores, [post.language for post in posts])
    outside = ~scores.second.in_band
    assert np.array_equal(combined[outside], scores.first.probabilities[0][outside])
    silent = store.load(BUNDLES / "judged-chat").scores(posts)
    assert silent.second is not None
    assert (silent.second.usage, silent.second.answered.any()) == (None, False)
