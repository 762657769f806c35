"""A linear bundle in a language it was not trained on gives P for sorting, and flags nothing without a threshold."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import polyvigil
from polyvigil.bundle.store import Bundle, load
from polyvigil.checks.audit.drift import audit_drift
from polyvigil.checks.behaviour import answer
from polyvigil.checks.behaviour_suite import cases
from polyvigil.cli import main as program
from polyvigil.config.decide import DecideSpec
from polyvigil.data.packed_posts import PackedPosts, PostColumns
from polyvigil.data.read import read_labelled
from polyvigil.data.write import write_posts
from polyvigil.detect.ngram_features import characters_of
from polyvigil.evaluation.compare import compare
from polyvigil.evaluation.measure import measured
from polyvigil.report.report import report_of
from polyvigil.scoring.dedup import Deduplicated
from polyvigil.scoring.wire import ABSTAINED, score_posts
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows.train import Trained
from polyvigil.workflows.tune import Plan, keep_rates, tune_bundle


@pytest.fixture(scope="module")
def french(corpus: tuple[LabelledPost, ...]) -> list[Post]:
    """Posts that share an alphabet with training, in a language that was not trained."""
    return [item.post for item in corpus if item.post.language == "fr"][:200]


@pytest.fixture(scope="module")
def russian(corpus: tuple[LabelledPost, ...]) -> list[Post]:
    """Posts of an alphabet that training did not have."""
    return [item.post for item in corpus if item.post.language == "ru"][:200]


def test_known_shares_are_those_of_a_set(trained: Trained, french: list[Post]) -> None:
    (member,) = trained.bundle.members
    known = set(member.characters.vocabulary.hashes.tolist())  # type: ignore[attr-defined]
    posts = [*french[:40], Post("empty", ""), Post("own", "")]
    shares = member.known_shares(posts)  # type: ignore[attr-defined]
    for post, share in zip(posts, shares, strict=True):
        hashes = member._space.blocks(characters_of([post], member.normalisation))[1].hashes.tolist()  # type: ignore[attr-defined]
        assert share == (sum(value in known for value in hashes) / len(hashes) if hashes else 1.0)
    assert 0.35 < shares[:40].mean() < 0.8


def test_many_posts_are_scored_in_batches(
    trained: Trained, french: list[Post], corpus: tuple[LabelledPost, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit what all at once give, of packed posts too."""
    bundle = trained.bundle
    posts = [*french[:60], *(item.post for item in corpus[:90])]
    whole = bundle.probabilities(posts), bundle.member_probabilities(posts), bundle.abstains(posts)
    assert 0 < whole[2].sum() < len(posts)
    monkeypatch.setattr("polyvigil.bundle.store._POSTS_OF_A_BATCH", 7)
    for some in (posts, PackedPosts(PostColumns(posts))):
        parts = bundle.probabilities(some), bundle.member_probabilities(some), bundle.abstains(some)
        for one, other in zip(whole, parts, strict=True):
            assert (one == other).all()


def test_without_a_threshold_nothing_is_flagged(trained: Trained, french: list[Post], russian: list[Post]) -> None:
    own = list(trained.bundle.policy.thresholds)
    posts = [*french, *russian]
    assert trained.bundle.abstains(posts).all()
    for decision in score_posts(trained.bundle, posts):
        assert (decision.decision, decision.threshold, decision.threshold_source) == (0, 1.0, ABSTAINED)
        assert ABSTAINED in decision.flags
        assert 0 < decision.p < 1
    english = [dataclasses.replace(post, language="en") for post in posts]
    assert "en" in own
    assert not trained.bundle.abstains(english).any()  # a trained language is decided, however odd the post


def test_with_a_threshold_by_share_known_posts_are_decided(
    trained: Trained, bundle_folder: Path, french: list[Post], russian: list[Post], tmp_path: Path
) -> None:
    plan = Plan(DecideSpec(), unlabelled=(*french, *russian))
    tuned = tune_bundle(bundle_folder, trained.bundle, plan, output=tmp_path / "tuned").bundle
    threshold = tuned.policy.thresholds["fr"]
    assert (threshold.source, threshold.rule) == ("similar", "share")
    decisions = score_posts(tuned, [*french, *russian])
    flagged = Counter(decision.language for decision in decisions if decision.decision)
    shares = [
        np.mean(tuned.policy.flags(scores, [language] * len(scores)))
        for language in tuned.policy.thresholds
        if tuned.policy.thresholds[language].source == "own" and not language.endswith("_cadec")
        for scores in [tuned.dev_scores().of(language).probabilities]
    ]
    expected = np.exp(np.mean(np.log(shares)))
    assert flagged["fr"] == pytest.approx(expected * len(french), abs=1.5)
    assert flagged["ru"] == 0
    assert all(ABSTAINED in decision.flags for decision in decisions if decision.language == "ru")


def test_copies_abstain_as_the_first_does(trained: Trained, french: list[Post]) -> None:
    copies = [french[0], dataclasses.replace(french[0], id="copy")]
    first, copy = Deduplicated(trained.bundle, "exact").decide(copies, detected=[False, False])
    assert (first.decision, first.flags) == (copy.decision, copy.flags)
    assert ABSTAINED in copy.flags


def test_behaviour_tests_decide_as_scoring_does(trained: Trained) -> None:
    foreign, own = (answer(trained.bundle, cases(languages=[name])) for name in ("ru", "en"))
    assert not any(flag for one in foreign for flag in one.flagged)
    assert any(flag for one in own for flag in one.flagged)


def test_a_post_s_decision_hangs_on_that_post_alone(trained: Trained, french: list[Post], russian: list[Post]) -> None:
    posts = [*french[:20], *russian[:20]]
    together = trained.bundle.abstains(posts)
    assert together.tolist() == [bool(trained.bundle.abstains([post])[0]) for post in posts]


def test_bundles_of_before_decide_as_they_did(trained: Trained, french: list[Post]) -> None:
    """Their policy says nothing of it."""
    policy = trained.bundle.policy.model_copy(update={"least_known": 0.0})
    before: Bundle = dataclasses.replace(trained.bundle, policy=policy)
    assert not before.abstains(french).any()
    stored = json.loads((Path(__file__).parents[1] / "golden" / "bundles" / "linear" / "policy.json").read_text())
    assert "least_known" not in stored
    assert load(Path(__file__).parents[1] / "golden" / "bundles" / "linear").policy.least_known == 0


def test_python_and_the_command_line_say_the_same(
    bundle_folder: Path, russian: list[Post], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = polyvigil.load(bundle_folder)
    texts = [post.text for post in russian]
    assert not bundle.predict(texts, languages=["ru"] * len(texts)).any()
    write_posts(tmp_path / "ru.csv", [LabelledPost(post, n % 2) for n, post in enumerate(russian)])
    assert program.run(["score", str(bundle_folder), str(tmp_path / "ru.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    said = capfd.readouterr().err
    assert "ru: 200 of 200 posts are not flagged, sort by p: the language has no threshold; polyvigil tune" in said
    assert program.run(["evaluate", str(bundle_folder), str(tmp_path / "ru.csv"), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["data"]["pooled"]["tp"] == document["data"]["pooled"]["fp"] == 0
    assert any("ru: 200 posts are not flagged" in caution for caution in document["data"]["cautions"])


def test_a_language_of_translations_alone_is_not_trained(corpus: tuple[LabelledPost, ...]) -> None:
    from polyvigil.learn.balance import trained_languages

    english = [item for item in corpus if item.post.language == "en"][:100]
    translated = [
        dataclasses.replace(item, post=dataclasses.replace(item.post, language="fr", origin="translated:x"))
        for item in english
    ]
    assert trained_languages([*english, *translated]) == ("en",)


def test_tables_of_shares_and_charts_count_as_scoring_does(
    trained: Trained, corpus: tuple[LabelledPost, ...], tmp_path: Path
) -> None:
    items = [item for name in ("fr", "ru") for item in corpus if item.post.language == name and item.label][:200]
    items += [item for name in ("fr", "ru") for item in corpus if item.post.language == name and not item.label][::20]
    items = [dataclasses.replace(item, post=dataclasses.replace(item.post, split="test")) for item in items]
    posts = [item.post for item in items]
    middle = float(np.median(trained.bundle.probabilities([post for post in posts if post.language == "fr"])))
    fallback = trained.bundle.policy.fallback.model_copy(update={"value": middle})
    policy = trained.bundle.policy.model_copy(update={"least_known": 0.0, "fallback": fallback})
    manifest = trained.bundle.manifest.model_copy(update={"id": "0" * 16})
    before = dataclasses.replace(trained.bundle, policy=policy, manifest=manifest)
    flagged = {
        name: np.mean([d.decision for d in score_posts(before, [p for p in posts if p.language == name])])
        for name in ("fr", "ru")
    }
    drift = {row.language: row for row in audit_drift(before, trained.bundle, posts).languages}
    assert {name: (row.old_share, row.new_share) for name, row in drift.items()} == {
        name: (share, 0.0) for name, share in flagged.items()
    }
    assert flagged["fr"] > 0
    write_posts(tmp_path / "posts.csv", items)
    reading = read_labelled(tmp_path / "posts.csv")
    moves = {shift.language: shift for shift in compare(before, trained.bundle, reading).shifts}
    assert {name: (move.old_share, move.new_share) for name, move in moves.items()} == {
        name: (share, 0.0) for name, share in flagged.items()
    }
    report = report_of(measured(trained.bundle, reading), trained.bundle, older=before, show_errors=5)
    assert report.since is not None
    assert [(row.language, row.old_share, row.new_share) for row in report.since.shifts] == [
        (name, share, 0.0) for name, share in flagged.items()
    ]
    assert {value for one in report.pictures.languages for value in one.f1} == {0.0}
    assert {(one.kind, one.threshold) for one in report.mistakes} == {("false negative", 1.0)}
    decided = report_of(measured(before, reading), before, show_errors=5)
    assert max(value for one in decided.pictures.languages for value in one.f1) > 0
    assert "false positive" in {one.kind for one in decided.mistakes}


def test_tuning_counts_what_its_bundles_abstain_on(
    trained: Trained, bundle_folder: Path, french: list[Post], russian: list[Post], tmp_path: Path
) -> None:
    plan = Plan(DecideSpec(), unlabelled=(*french, *russian))
    made = tune_bundle(bundle_folder, trained.bundle, plan, output=tmp_path / "tuned")
    shares = {shift.language: (shift.old_share, shift.new_share) for shift in made.shifts}
    decisions = score_posts(made.bundle, french)
    assert shares["fr"] == (0.0, np.mean([decision.decision for decision in decisions]))
    assert shares["ru"] == (0.0, 0.0)
    kept = keep_rates(bundle_folder, trained.bundle, made.bundle, french, output=tmp_path / "kept")
    [shift] = kept.shifts
    assert shift.old_share == shares["fr"][1]
    assert shift.new_share == np.mean([decision.decision for decision in score_posts(kept.bundle, french)])
