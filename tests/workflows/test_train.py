"""The story of a run: each split has one use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from polyvigil.config.load import parse
from polyvigil.config.model import LinearSpec
from polyvigil.config.recipe import LinearRecipe
from polyvigil.config.training import BalanceSpec
from polyvigil.data.write import write_posts
from polyvigil.errors import BundleError, DataError, SplitError
from polyvigil.learn.folds import out_of_fold
from polyvigil.learn.linear import LinearLearner
from polyvigil.metrics import average_precision
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training


@pytest.fixture
def files(corpus: tuple[LabelledPost, ...], tmp_path: Path) -> dict[str, str]:
    english = [item for item in corpus if item.post.language == "en"]
    write_posts(tmp_path / "all.csv", english)
    for split in ("train", "dev", "test"):
        write_posts(tmp_path / f"{split}.csv", [item for item in english if item.post.split == split])
    return {path.stem: str(path) for path in tmp_path.glob("*.csv")}


def test_separate_files_and_one_mixed_file_give_the_same_posts(files: dict[str, str]) -> None:
    separate = training.gather(LinearRecipe(), train=[files["train"]], dev=[files["dev"]])
    mixed = training.gather(LinearRecipe(), train=[files["all"]], dev=[])
    twice = training.gather(LinearRecipe(), train=[files["all"]], dev=[files["all"]])
    assert separate.train == mixed.train == twice.train
    assert separate.dev == mixed.dev == twice.dev
    assert any("rows have split train" in note for note in mixed.notes)
    assert any("the 500 rows of split dev are used" in note for note in mixed.notes)


def test_without_dev_posts_all_posts_tune_out_of_fold(files: dict[str, str]) -> None:
    material = training.gather(LinearRecipe(), train=[files["train"]], dev=[])
    assert material.train == material.dev
    assert len(material.train) == 1600
    assert material.fold_of is not None
    assert np.bincount(material.fold_of).tolist() == pytest.approx([320] * 5, abs=25)
    assert material.data == "train.csv, out of 5 folds"
    assert any("tuned on all 1,600 posts, each scored by a model that has not learned" in n for n in material.notes)


def test_without_folds_some_posts_are_held_out(files: dict[str, str]) -> None:
    material = training.gather(parse({"data": {"folds": 0}}), train=[files["train"]], dev=[])
    assert len(material.train) + len(material.dev) == 1600
    assert 250 < len(material.dev) < 400
    assert not set(material.train) & set(material.dev)


def test_folds_give_the_scores_of_models_fitted_by_hand(files: dict[str, str], tmp_path: Path) -> None:
    recipe = parse({"data": {"folds": 3}, "model": {"character_ngrams": [2, 3]}})
    assert isinstance(recipe, LinearRecipe)
    data = training.gather(recipe, train=[files["dev"]], dev=[])
    assert data.fold_of is not None
    trained = training.train(recipe, data, output=tmp_path / "bundle")
    learner, by_hand = LinearLearner(recipe.model, recipe.balance), np.empty(len(data.dev))
    for fold in range(3):
        rest = [item for item, own in zip(data.train, data.fold_of, strict=True) if own != fold]
        held = np.flatnonzero(data.fold_of == fold)
        by_hand[held] = learner.fit(rest, (), seed=recipe.seed).probabilities([data.dev[at].post for at in held])
    assert np.array_equal(trained.bundle.dev.by_member[0], by_hand)
    whole = learner.fit(data.train, (), seed=recipe.seed).probabilities([item.post for item in data.dev])
    assert np.array_equal(trained.bundle.member_probabilities([item.post for item in data.dev])[0], whole)
    assert trained.evaluation.data == "dev.csv, out of 3 folds"


def test_labels_that_mean_nothing_give_ap_at_prevalence(corpus: tuple[LabelledPost, ...], tmp_path: Path) -> None:
    """Nothing leaks from a fold into its scores: a model scored on its own posts would rank them perfectly."""
    draw = np.random.default_rng(3)
    posts = [item for item in corpus if item.post.language == "en"][:1500]
    shuffled = [dataclasses.replace(item, label=int(draw.random() < 0.3)) for item in posts]
    write_posts(tmp_path / "noise.csv", shuffled)
    data = training.gather(LinearRecipe(), train=[str(tmp_path / "noise.csv")], dev=[], on_error="quarantine")
    trained = training.train(LinearRecipe(), data, output=tmp_path / "bundle")
    labels = np.array([item.label for item in data.dev], dtype=np.int8)
    prevalence = labels.mean()
    assert average_precision(labels, trained.bundle.dev.by_member[0]) == pytest.approx(prevalence, abs=0.04)
    own = trained.bundle.member_probabilities([item.post for item in data.dev])[0]
    assert average_precision(labels, own) > 0.9


def test_translations_learn_in_other_folds_alone(corpus: tuple[LabelledPost, ...]) -> None:
    posts = [item for item in corpus if item.post.language == "en"][:60]
    translated = [
        LabelledPost(Post(f"t{n}", f"übersetzt {n}", "de", origin="translated:x", group=item.post.id), item.label)
        for n, item in enumerate(posts)
    ]
    fold_of = np.arange(60) % 4
    seen = []

    def fit(fold: int, rest: Sequence[LabelledPost]) -> Callable[[Sequence[Post]], np.ndarray]:
        seen.append({item.post.id for item in rest})
        return LinearLearner(LinearSpec(), BalanceSpec()).fit(rest, (), seed=1).probabilities

    out_of_fold(posts, fold_of, fit, train=[*posts, *translated])
    for fold, ids in enumerate(seen):
        others = [n for n in range(60) if n % 4 != fold]
        assert ids == {posts[n].post.id for n in others} | {f"t{n}" for n in others}


def test_posts_that_cannot_be_dealt_into_folds_say_so(corpus: tuple[LabelledPost, ...], tmp_path: Path) -> None:
    posts = [item for item in corpus if item.post.language == "en"][:40]
    grouped = [
        dataclasses.replace(item, post=dataclasses.replace(item.post, group="p" if item.label else f"n{n}", split=""))
        for n, item in enumerate(posts)
    ]
    write_posts(tmp_path / "one.csv", grouped)
    with pytest.raises(SplitError, match="all posts with label 1 belong to one group") as raised:
        training.gather(LinearRecipe(), train=[str(tmp_path / "one.csv")], dev=[])
    assert "dev file" in str(raised.value.hint)
    write_posts(
        tmp_path / "few.csv",
        [dataclasses.replace(item, post=dataclasses.replace(item.post, group="n", split="")) for item in posts],
    )
    with pytest.raises(SplitError, match="1 groups of posts are too few for 5 folds") as raised:
        training.gather(LinearRecipe(), train=[str(tmp_path / "few.csv")], dev=[])
    assert "data.folds" in str(raised.value.hint)


def test_training_posts_cannot_tune(files: dict[str, str]) -> None:
    with pytest.raises(SplitError, match="1,600 of 1,600 dev posts are training posts"):
        training.gather(LinearRecipe(), train=[files["train"]], dev=[files["train"]])


def test_a_mixed_file_without_training_rows_is_refused(corpus: tuple[LabelledPost, ...], tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    write_posts(path, [item for item in corpus if item.post.split in {"dev", "test"}])
    with pytest.raises(DataError, match=r"its split column has .*none of them 'train'"):
        training.gather(LinearRecipe(), train=[str(path)], dev=[])


def test_a_file_of_unknown_splits_is_used_whole(
    corpus: tuple[LabelledPost, ...], files: dict[str, str], tmp_path: Path
) -> None:
    train = [item for item in corpus if (item.post.language, item.post.split) == ("en", "train")]
    renamed = [
        dataclasses.replace(item, post=dataclasses.replace(item.post, split=f"part_{place % 2}"))
        for place, item in enumerate(train)
    ]
    write_posts(tmp_path / "parts.csv", renamed)
    material = training.gather(LinearRecipe(), train=[str(tmp_path / "parts.csv")], dev=[files["dev"]])
    assert len(material.train) == len(train)
    assert any("its splits ('part_0', 'part_1') name no use, so all of its rows are read as train" in note
               for note in material.notes)  # fmt: skip


def test_the_task_s_joined_train_files_are_read(files: dict[str, str], tmp_path: Path) -> None:
    """Two names for train in one column, as where the main file and the translated CADEC file are joined."""
    lines = Path(files["train"]).read_text(encoding="utf-8").splitlines()
    named = [
        line.replace(",train,", f",SMM4H_{'26' if place % 2 else '2026'}_train,") for place, line in enumerate(lines)
    ]
    (tmp_path / "joined.csv").write_text("\n".join(named) + "\n", encoding="utf-8")
    assert "SMM4H_26_train" in named[1]
    joined = training.gather(LinearRecipe(), train=[str(tmp_path / "joined.csv")], dev=[files["dev"]])
    assert joined.train == training.gather(LinearRecipe(), train=[files["train"]], dev=[files["dev"]]).train


def test_a_file_of_one_split_is_accepted(files: dict[str, str]) -> None:
    assert len(training.gather(LinearRecipe(), train=[files["test"]], dev=[files["dev"]]).train) == 600
    held_out = training.gather(LinearRecipe(), train=[files["dev"]], dev=[])
    assert len(held_out.train) == len(held_out.dev) == 500


def test_an_existing_output_is_refused_before_training(material: training.TrainingData, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "letter.txt").touch()
    with pytest.raises(BundleError, match="exists and is no bundle"):
        training.train(LinearRecipe(), material, output=tmp_path, log=said.append)
    assert not said


def test_the_paper_grid_is_a_rule_by_name(material: training.TrainingData, tmp_path: Path) -> None:
    recipe = parse({"decide": {"rule": "paper-grid"}})
    policy = training.train(recipe, material, output=tmp_path / "b").bundle.policy
    for threshold in policy.thresholds.values():
        assert threshold.rule == "paper-grid"
        assert round(threshold.value * 100) == pytest.approx(threshold.value * 100)
        assert 0.2 <= threshold.value <= 0.8
