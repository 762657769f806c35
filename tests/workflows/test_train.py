"""The story of a run: each split has one use."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from polyvigil.config.load import parse
from polyvigil.config.recipe import LinearRecipe
from polyvigil.data.write import write_posts
from polyvigil.errors import BundleError, DataError, SplitError
from polyvigil.types import LabelledPost
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


def test_without_dev_posts_some_are_held_out(files: dict[str, str]) -> None:
    material = training.gather(LinearRecipe(), train=[files["train"]], dev=[])
    assert len(material.train) + len(material.dev) == 1600
    assert 250 < len(material.dev) < 400
    assert not set(material.train) & set(material.dev)


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
    assert len(held_out.train) + len(held_out.dev) == 500


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
