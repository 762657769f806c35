"""Bundles joined into one: members as they were, scored once, and a cascade that scoring honours."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polyvigil.bundle import layout
from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.store import Bundle, Seen, load
from polyvigil.bundle.verify import bundle_id
from polyvigil.config.decide import DecideSpec
from polyvigil.config.load import parse
from polyvigil.decide.combine import Combination
from polyvigil.errors import BundleError, RecipeError, SplitError
from polyvigil.scoring.wire import score_posts
from polyvigil.types import Post
from polyvigil.workflows import train as training
from polyvigil.workflows.ensemble import EnsemblePlan, EnsembleResult, Source, build_ensemble, bundle_sources
from polyvigil.workflows.tune import CascadeOptions, Plan, keep_rates, recipe_of, tune_bundle

SPEC = DecideSpec(rule="argmax")
BUNDLES = Path(__file__).parents[1] / "golden" / "bundles"


@pytest.fixture(scope="module")
def other(material: training.TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A weaker member, tuned on the same dev posts in another order."""
    folder = tmp_path_factory.mktemp("other") / "other"
    recipe = parse({"seed": 7, "model": {"C": 0.05}, "decide": {"rule": "argmax"}})
    return Source(folder, training.train(recipe, replace(material, dev=material.dev[::-1]), output=folder).bundle)


@pytest.fixture(scope="module")
def sources(bundle_folder: Path, bundle: Bundle, other: Source) -> tuple[Source, Source]:
    return Source(bundle_folder, bundle), other


@pytest.fixture(scope="module")
def joined(sources: tuple[Source, Source], tmp_path_factory: pytest.TempPathFactory) -> EnsembleResult:
    return build_ensemble(
        sources, EnsemblePlan(SPEC, weights=(1.0, 0.7)), output=tmp_path_factory.mktemp("joined") / "joined"
    )


@pytest.fixture(scope="module")
def cascaded(joined: EnsembleResult, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    plan = Plan(SPEC, cascade=CascadeOptions(0.002))
    folder = Path(joined.evaluation.bundle)
    return tune_bundle(folder, joined.bundle, plan, output=tmp_path_factory.mktemp("c") / "cascaded").bundle


def _hashes(folder: Path) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())]


def test_members_are_copied_and_averaged(
    joined: EnsembleResult, sources: tuple[Source, Source], material: training.TrainingData
) -> None:
    folder = Path(joined.evaluation.bundle)
    assert [entry.folder for entry in joined.bundle.manifest.members] == ["members/00-linear", "members/01-linear"]
    for place, source in enumerate(sources):
        assert _hashes(folder / f"members/0{place}-linear") == _hashes(source.folder / "members/00-linear")
    posts = [item.post for item in material.dev]
    first, second = (source.bundle.probabilities(posts) for source in sources)
    assert joined.bundle.probabilities(posts) == pytest.approx((first + 0.7 * second) / 1.7, abs=1e-15)
    assert [member.weight for member in joined.members] == pytest.approx([1 / 1.7, 0.7 / 1.7])
    assert [member.name for member in joined.members] == ["bundle/00-linear, seed 42", "other/00-linear, seed 7"]
    assert [len(row.members) for row in joined.subsets] == [1, 1, 2]
    assert [row.member for row in joined.ablations] == [member.name for member in joined.members]


def test_stored_scores_are_merged_post_by_post(
    joined: EnsembleResult, sources: tuple[Source, Source], material: training.TrainingData
) -> None:
    posts = [item.post for item in material.dev]
    assert not np.array_equal(sources[0].bundle.dev.keys, sources[1].bundle.dev.keys)
    assert np.array_equal(joined.bundle.dev.by_member, joined.bundle.member_probabilities(posts))
    assert np.array_equal(joined.bundle.dev.labels, sources[0].bundle.dev.labels)
    assert joined.bundle.policy.dev_fingerprint == sources[1].bundle.policy.dev_fingerprint
    assert joined.evaluation.same_set
    assert joined.evaluation.pooled.cross_fitted is not None


def test_stored_scores_need_no_model(
    sources: tuple[Source, Source], material: training.TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_it(*_: object) -> None:
        raise AssertionError("a model was run")

    monkeypatch.setattr(Bundle, "member_probabilities", run_it)
    made = build_ensemble(sources, EnsemblePlan(SPEC, dev=material.dev[7:] + material.dev[:7]), output=tmp_path / "b")
    assert made.bundle.combination == Combination()
    monkeypatch.undo()
    with_others = build_ensemble(
        sources, EnsemblePlan(SPEC, dev=material.dev[::2], data="half.csv"), output=tmp_path / "half"
    )
    half = [item.post for item in material.dev[::2]]
    assert np.array_equal(with_others.bundle.dev.by_member, with_others.bundle.member_probabilities(half))
    assert with_others.evaluation.data == "half.csv"


def test_sources_of_members_are_kept_when_merged_again(
    joined: EnsembleResult, sources: tuple[Source, Source], material: training.TrainingData, tmp_path: Path
) -> None:
    folder = Path(joined.evaluation.bundle)
    told = bundle_sources(folder, joined.bundle)
    ids = [source.bundle.id for source in sources]
    assert list(told.members) == ids
    assert told.recipes[ids[1]] == (sources[1].folder / layout.RECIPE).read_text()
    assert recipe_of(folder).decide == SPEC
    assert np.array_equal(joined.bundle.seen.train, np.union1d(*(source.bundle.seen.train for source in sources)))
    third = training.train(parse({"model": {"C": 1.0}}), material, output=tmp_path / "third").bundle
    again = build_ensemble(
        (Source(tmp_path / "third", third), Source(folder, joined.bundle)),
        EnsemblePlan(SPEC, weights=(2.0, 1.7)),
        output=tmp_path / "again",
    )
    assert bundle_sources(tmp_path / "again", again.bundle).members == (third.id, *ids)
    assert again.bundle.combination.weights == pytest.approx((2.0, 1.0, 0.7))
    tuned = tune_bundle(tmp_path / "again", again.bundle, Plan(SPEC), output=tmp_path / "tuned").bundle
    assert bundle_sources(tmp_path / "tuned", tuned).members == (third.id, *ids)


def test_members_of_weight_0_are_left_out(sources: tuple[Source, Source], tmp_path: Path) -> None:
    made = build_ensemble(sources, EnsemblePlan(SPEC, fit=True), output=tmp_path / "b")
    kept = [member for member in made.members if member.weight]
    assert sum(member.weight for member in made.members) == pytest.approx(1)
    assert made.bundle.combination.weights == pytest.approx([member.weight for member in kept])
    assert [row.member for row in made.ablations] == ([member.name for member in kept] if len(kept) > 1 else [])
    assert made.weight_gain is not None
    assert made.weight_gain.low <= made.weight_gain.gain <= made.weight_gain.high


def test_incompatible_bundles_are_refused(
    sources: tuple[Source, Source], material: training.TrainingData, tmp_path: Path
) -> None:
    first, second = sources
    fewer = replace(material, dev=material.dev[::2])
    halved = training.train(parse({"decide": {"rule": "argmax"}}), fewer, output=tmp_path / "h").bundle
    old = Source(BUNDLES / "linear", load(BUNDLES / "linear"))
    learned = replace(second, bundle=replace(second.bundle, seen=Seen(first.bundle.seen.dev, first.bundle.seen.dev)))
    for given, plan, error, message in (
        ((first,), EnsemblePlan(SPEC), RecipeError, "one bundle is no ensemble; name two or more"),
        ((first, second, first), EnsemblePlan(SPEC), RecipeError, "the same bundle as .*; name each once"),
        (
            (first, old),
            EnsemblePlan(SPEC),
            RecipeError,
            "by gladiators-1, those of .* by gladiators-2; train",
        ),
        ((first, Source(tmp_path / "h", halved)), EnsemblePlan(SPEC), RecipeError, "other dev posts .*--dev DEV.csv"),
        ((first, learned), EnsemblePlan(SPEC), SplitError, "trained on by a member; .* worthless; give other posts"),
        (sources, EnsemblePlan(SPEC, weights=(1, 2, 3)), RecipeError, "3 weights for 2 bundles of 2 members"),
        (
            sources,
            EnsemblePlan(SPEC, weights=(1, 0)),
            RecipeError,
            "a weight must be above 0, not 0; leave the bundle out",
        ),
        (sources, EnsemblePlan(SPEC, weights=(1, -0.5)), RecipeError, "a weight must be above 0, not -0.5"),
        (sources, EnsemblePlan(SPEC, weights=(1, float("nan"))), RecipeError, "a weight must be above 0, not nan"),
        (sources, EnsemblePlan(SPEC, weights=(1, 1), fit=True), RecipeError, "weights are either given or fitted"),
    ):
        with pytest.raises(error, match=message):
            build_ensemble(given, plan, output=tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert build_ensemble(
        (first, Source(tmp_path / "h", halved)), EnsemblePlan(SPEC, dev=material.dev), output=tmp_path / "b"
    ).bundle


def test_scoring_uses_further_members_only_near_a_threshold(cascaded: Bundle, material: training.TrainingData) -> None:
    posts = [item.post for item in material.dev]
    cascade = cascaded.combination.cascade
    assert cascade is not None
    everyone = cascaded.member_probabilities(posts)
    asked = cascaded.staged_probabilities(posts)
    called = cascade.second_stage_mask(
        everyone[cascade.first], cascaded.policy.post_thresholds([post.language for post in posts])
    )
    assert 0 < called.sum() < len(posts)
    assert called.sum() == cascade.learned.called + cascade.verified.called
    second = 1 - cascade.first
    assert np.array_equal(asked[cascade.first], everyone[cascade.first])
    assert np.array_equal(asked[second, called], everyone[second, called])
    assert np.isnan(asked[second, ~called]).all()
    expected = np.where(called, cascaded.combination.mean(everyone), everyone[cascade.first])
    assert np.array_equal(cascaded.probabilities(posts), expected)
    decisions = score_posts(cascaded, posts)
    assert [decision.p for decision in decisions] == pytest.approx(expected.tolist(), rel=1e-5)
    spreads = np.where(called, np.abs(everyone[0] - everyone[1]), 0.0)
    assert [decision.spread for decision in decisions] == pytest.approx(spreads.tolist(), rel=1e-5)
    together = cascaded.policy.flags(cascaded.combination.mean(everyone), [post.language for post in posts])
    otherwise = sum(bool(decision.decision) != flag for decision, flag in zip(decisions, together, strict=True))
    assert otherwise == cascade.learned.disagreeing + cascade.verified.disagreeing


def test_a_cascade_decides_each_post_by_itself(cascaded: Bundle, material: training.TrainingData) -> None:
    posts = [item.post for item in material.dev[:60]]
    together = cascaded.staged_probabilities(posts)
    assert np.array_equal(cascaded.staged_probabilities(posts[::-1])[:, ::-1], together, equal_nan=True)
    for place in range(0, 60, 7):
        assert np.array_equal(cascaded.staged_probabilities([posts[place]]), together[:, [place]], equal_nan=True)
    empty = [Post("1", "", "en"), Post("2", "😀", "fa")]
    assert cascaded.probabilities([*empty, posts[0]])[:2].tolist() == [0.0, 0.0]
    assert [decision.spread for decision in score_posts(cascaded, empty)] == [0.0, 0.0]
    assert cascaded.probabilities([]).shape == (0,)


def test_the_thresholds_are_those_of_all_members(joined: EnsembleResult, cascaded: Bundle) -> None:
    values = {name: threshold.value for name, threshold in joined.bundle.policy.thresholds.items()}
    assert {name: threshold.value for name, threshold in cascaded.policy.thresholds.items()} == values
    assert cascaded.id != joined.bundle.id
    assert cascaded.policy.tuned_for != joined.bundle.policy.tuned_for
    assert np.array_equal(cascaded.dev.by_member, joined.bundle.dev.by_member)


def test_tuning_again_removes_the_cascade(
    cascaded: Bundle, joined: EnsembleResult, material: training.TrainingData, tmp_path: Path
) -> None:
    folder = Path(joined.evaluation.bundle)
    posts = [item.post for item in material.dev]
    again = tune_bundle(folder, cascaded, Plan(SPEC), output=tmp_path / "again").bundle
    assert again.combination.cascade is None
    assert again.id == joined.bundle.id
    kept = keep_rates(folder, cascaded, cascaded, posts, output=tmp_path / "kept").bundle
    assert kept.combination == joined.bundle.combination


def test_an_impossible_cascade_is_refused(
    joined: EnsembleResult, bundle: Bundle, bundle_folder: Path, tmp_path: Path
) -> None:
    folder = Path(joined.evaluation.bundle)
    for source, loaded, wish, message in (
        (
            bundle_folder,
            bundle,
            CascadeOptions(0.01),
            "one member, and a cascade needs another to call; join bundles first",
        ),
        (folder, joined.bundle, CascadeOptions(1.0), "1 is no share of posts, at least 0 and below 1; as 0.005"),
        (folder, joined.bundle, CascadeOptions(-0.1), "-0.1 is no share of posts"),
        (folder, joined.bundle, CascadeOptions(0.01, first=2), "no member 2; members have the indices 0 to 1"),
        (folder, joined.bundle, CascadeOptions(0.01, costs=(1.0,)), "1 costs given for 2 members"),
        (folder, joined.bundle, CascadeOptions(0.01, costs=(1.0, 0.0)), "give each member one above 0"),
    ):
        with pytest.raises(RecipeError, match=message):
            tune_bundle(source, loaded, Plan(SPEC, cascade=wish), output=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_cascade_of_a_missing_member_is_refused(cascaded: Bundle, joined: EnsembleResult, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    source = Path(joined.evaluation.bundle)
    cascade = cascaded.combination.cascade
    assert cascade is not None
    wrong = Combination(weights=(1.0, 0.7), cascade=cascade.model_copy(update={"first": 2}))
    shutil.copytree(source, folder)
    (folder / layout.COMBINATION).write_text(wrong.model_dump_json())
    manifest = json.loads((folder / layout.MANIFEST).read_text())
    data = (folder / layout.COMBINATION).read_bytes()
    manifest["files"][layout.COMBINATION] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["id"] = bundle_id(Manifest.model_validate(manifest))
    (folder / layout.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="its weights or dev scores are of other members"):
        load(folder, stale=True)
