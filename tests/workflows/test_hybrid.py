"""A linear member and encoders in one recipe: who counts where, and what thresholds follow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import tiny_folder

from polyvigil.bundle.explain import explain
from polyvigil.bundle.store import Bundle, load
from polyvigil.cli import main as program
from polyvigil.config.decide import DecideSpec
from polyvigil.config.load import load as load_recipe
from polyvigil.config.load import parse, to_toml
from polyvigil.config.recipe import HybridRecipe
from polyvigil.data.write import write_posts
from polyvigil.decide.coverage import MemberCoverage
from polyvigil.decide.tune import tune
from polyvigil.decide.unlabelled import references, similar_threshold
from polyvigil.errors import RecipeError
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows.ensemble import EnsemblePlan, Source, build_ensemble
from polyvigil.workflows.tune import CascadeOptions, Plan, tune_bundle

TEXTS = {
    "en": ("the pills gave me a day of work and sleep again with my doctor", "rash"),
    "de": ("die Tablette gab mir einen Tag Arbeit und Schlaf wieder mit Arzt", "Ausschlag"),
    "ru": ("таблетки дали мне день работы и сна снова с моим врачом", "сыпь"),
}
"""Words of each language, and the one that stands in positive posts."""


def _posts(number: int, split: str, languages: tuple[str, ...] = ("en", "de")) -> list[LabelledPost]:
    """Synthetic: a post with the word rash is positive."""
    random = np.random.default_rng([number, len(split)])
    posts = []
    for index in range(number):
        language = languages[index % len(languages)]
        words, sign = TEXTS[language]
        chosen = [str(word) for word in random.choice(words.split(), 6)]
        if index % 3 == 0:
            chosen[int(random.integers(6))] = sign
        text = " ".join(chosen) + f" {index}"
        posts.append(LabelledPost(Post(f"{split}_{index}", text, language, split=split), int(index % 3 == 0)))
    return posts


RUSSIAN = [item.post for item in _posts(60, "foreign", ("ru",))]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    for name, number in (("train", 120), ("dev", 60)):
        write_posts(folder / f"{name}.csv", _posts(number, name))
    texts = [item.post.text for item in _posts(120, "train", ("en", "de", "ru"))]
    tiny_folder(folder / "model", "xlm-roberta", texts=texts, seed=3)
    return folder


@pytest.fixture(scope="module")
def folder(files: Path) -> Path:
    """Trained by the command line: the linear member and two encoders."""
    line = ["train", "hybrid", "--train", f"{files}/train.csv", "--dev", f"{files}/dev.csv", "-o", f"{files}/bundle"]
    settings = ("training.epochs=2", "training.learning_rate=3e-3", "training.posts_per_step=16", "seeds=[1, 2]")
    for setting in (f"model.encoder.name={files}/model", "model.encoder.max_tokens=32", *settings):
        line += ["--set", setting]
    assert program.run([*line, "--offline", "--device", "cpu"]) == 0
    return files / "bundle"


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return load(folder)


def test_members_of_both_kinds_and_weights_above_0(bundle: Bundle, folder: Path) -> None:
    assert [entry.folder[8:] for entry in bundle.manifest.members] == ["00-linear", "01-encoder", "02-encoder"]
    assert [member.fit_record.seed for member in bundle.members] == [42, 1, 2]
    assert len(bundle.combination.weights) == 3
    assert min(bundle.combination.weights) > 0
    assert sum(bundle.combination.weights) == pytest.approx(1)
    everyone = (0, 1, 2)
    assert bundle.combination.coverage == MemberCoverage(languages={"de": everyone, "en": everyone}, elsewhere=(1, 2))
    assert not folder.with_name("bundle.work").exists()


def test_people_are_shown_who_counts_where(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["inspect", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "members that count: 0, 1, 2 in de, en; 1, 2 in any other language" in shown
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "de (1, 2, 3), en (1, 2, 3), any other language (2, 3)." in card


def test_posts_in_known_languages_have_the_weighted_mean(bundle: Bundle) -> None:
    posts = [item.post for item in _posts(30, "test")]
    by_member = bundle.member_probabilities(posts)
    weights = np.array(bundle.combination.weights)
    assert bundle.probabilities(posts) == pytest.approx(weights @ by_member / weights.sum(), abs=1e-7)


def test_a_language_the_linear_member_does_not_know_is_decided_by_encoders_alone(bundle: Bundle) -> None:
    both = bundle.scores([*RUSSIAN, *(item.post for item in _posts(10, "test"))]).first.probabilities
    assert np.isnan(both[0, : len(RUSSIAN)]).all()
    assert not np.isnan(both[:, len(RUSSIAN) :]).any()
    alone = replace(bundle, members=bundle.members[1:], combination=bundle.combination.of([1, 2]))
    assert bundle.probabilities(RUSSIAN) == pytest.approx(alone.probabilities(RUSSIAN), abs=1e-7)
    assert not bundle.abstains(RUSSIAN).any()


def test_its_threshold_is_on_the_scale_of_the_encoders(bundle: Bundle) -> None:
    dev, spec = bundle.dev, bundle.policy.spec
    languages = dev.languages.tolist()
    weights = np.array(bundle.combination.weights[1:])
    scores = np.average(dev.by_member[1:], axis=0, weights=weights)
    alone = tune(scores, dev.labels, languages, spec=spec, dev_fingerprint="")
    assert bundle.policy.threshold("ru").value == pytest.approx(alone.fallback.value, abs=1e-9)
    together = tune(dev.scores(bundle.combination).probabilities, dev.labels, languages, spec=spec, dev_fingerprint="")
    assert bundle.policy.fallback.value != pytest.approx(together.fallback.value, abs=1e-6)
    assert bundle.policy.threshold("en").value == together.threshold("en").value


def test_unlabelled_posts_are_compared_with_the_encoders_scores(bundle: Bundle, folder: Path) -> None:
    plan = Plan(DecideSpec(), unlabelled=tuple(RUSSIAN))
    tuned = tune_bundle(folder, bundle, plan, output=folder.with_name("tuned")).bundle
    assert tuned.combination.coverage == bundle.combination.coverage  # measured, and as it was: the encoders alone
    dev = bundle.dev.scores(bundle.combination)
    combination = bundle.combination
    scores = combination.mean_of((1, 2), bundle.dev.by_member, dev.languages.tolist())
    alone = tune(scores, dev.labels, dev.languages.tolist(), spec=plan.decide, dev_fingerprint="")
    known = references(replace(dev, probabilities=scores), alone)
    expected = similar_threshold(bundle.probabilities(RUSSIAN), known)
    assert tuned.policy.threshold("ru") == expected
    assert tuned.policy.fallback.value == bundle.policy.fallback.value


def test_a_language_that_it_is_seen_to_read_counts_the_linear_member(bundle: Bundle, folder: Path) -> None:
    """Posts of the English words, called another language."""
    posts = tuple(replace(item.post, language="sco") for item in _posts(40, "test", ("en",)))
    tuned = tune_bundle(folder, bundle, Plan(DecideSpec(), unlabelled=posts), output=folder.with_name("read")).bundle
    assert tuned.combination.coverage is not None
    assert tuned.combination.coverage.members("sco") == (0, 1, 2)
    assert tuned.combination.coverage.members("ru") == (1, 2)
    again = load(folder.with_name("read"))
    assert np.array_equal(again.probabilities(posts), tuned.probabilities(posts))
    assert "coverage" in json.loads((folder.with_name("read") / "combination.json").read_text())


def test_a_cascade_asks_the_linear_member_first_and_encoders_where_it_is_silent(bundle: Bundle, folder: Path) -> None:
    options = CascadeOptions(0.02, first=0, costs=(1.0, 50.0, 50.0))
    output = folder.with_name("cascade")
    cascaded = tune_bundle(folder, bundle, Plan(DecideSpec(), cascade=options), output=output).bundle
    known = [item.post for item in _posts(90, "test")]
    first = cascaded.staged_probabilities([*RUSSIAN, *known])
    assert np.isnan(first[0, : len(RUSSIAN)]).all()
    assert not np.isnan(first[1:, : len(RUSSIAN)]).any()
    assert not np.isnan(first[0, len(RUSSIAN) :]).any()
    near = cascaded.combination.cascade
    assert near is not None
    called = ~np.isnan(first[1, len(RUSSIAN) :])
    thresholds = cascaded.policy.post_thresholds([post.language for post in known])
    assert np.array_equal(called, near.second_stage_mask(first[0, len(RUSSIAN) :], thresholds))


def test_evidence_is_of_the_members_that_count(bundle: Bundle) -> None:
    foreign, own = explain(bundle, [RUSSIAN[0], _posts(1, "test")[0].post])
    assert foreign.method == "occlusion"
    assert own.method == "contributions+occlusion"


def test_joined_bundles_count_where_they_know_too(bundle: Bundle, folder: Path, files: Path) -> None:
    """A linear bundle and the hybrid one: the first is silent in Russian as well."""
    line = ["train", "linear", "--train", f"{files}/train.csv", "--dev", f"{files}/dev.csv", "-o", f"{files}/linear"]
    assert program.run([*line, "--set", "model.C=0.5"]) == 0
    sources = [Source(files / "linear", load(files / "linear")), Source(folder, bundle)]
    result = build_ensemble(sources, EnsemblePlan(DecideSpec()), output=files / "joined")
    joined = result.bundle
    encoders = [index for index, member in enumerate(joined.members) if member.kind == "encoder"]
    assert encoders
    scores = joined.staged_probabilities(RUSSIAN)
    for index in range(len(joined.members)):
        assert np.isnan(scores[index]).all() == (index not in encoders)


def test_a_recipe_of_two_kinds_is_written_and_read(tmp_path: Path) -> None:
    recipe = load_recipe("hybrid", settings=["seeds=[1, 2]", "model.linear.C=2"])
    assert isinstance(recipe, HybridRecipe)
    (tmp_path / "again.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(str(tmp_path / "again.toml")) == recipe
    linear, encoders = recipe.parts
    assert (linear.model.C, linear.balance.weights, encoders.balance.weights) == (2.0, "group", "none")
    assert encoders.member_seeds == (1, 2)
    with pytest.raises(RecipeError, match=r"\[linear_balance\] changes nothing for model.kind = encoder"):
        parse({"model": {"kind": "encoder"}, "linear_balance": {}})
    with pytest.raises(RecipeError, match=r"model\.encoder\.max_tokens: Input should be greater than or equal to 8"):
        parse({"model": {"kind": "hybrid", "encoder": {"max_tokens": 1}}})
