"""The posts of a reproduction: folders, files, their faults, and how they differ from the paper's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from polyvigil.data.write import write_posts
from polyvigil.errors import DataError, SplitError
from polyvigil.recipe.run import Material
from polyvigil.records import LabelledPost, Post
from polyvigil.reproduce import paper
from polyvigil.reproduce.posts import differences, digest, of_language, read


def test_a_folder_and_a_file_with_splits_are_the_same_posts(few: Path, tmp_path: Path) -> None:
    folder = read(few)
    write_posts(tmp_path / "all.jsonl.csv", [*folder.train, *folder.dev])
    file = read(tmp_path / "all.jsonl.csv")
    assert (file.train, file.dev) == (folder.train, folder.dev)
    assert digest(file.train) == digest(folder.train) != digest(folder.train[::-1])
    assert {item.post.language for item in of_language(folder, "ja").dev} == {"ja"}
    assert of_language(folder, "") is folder


def test_faults_are_told_with_what_to_do(few: Path, tmp_path: Path) -> None:
    material = read(few)
    with pytest.raises(DataError, match=r"nothing: no such folder or file; give a folder with train\.csv and dev\.csv"):
        read(tmp_path / "nothing")
    folder = tmp_path / "folder"
    folder.mkdir()
    write_posts(folder / "train.csv", material.train)
    with pytest.raises(DataError, match=r"folder: has no dev posts; name the file dev\.csv"):
        read(folder)
    write_posts(folder / "dev.csv", material.dev)
    (folder / "dev.tsv").write_text("x")
    with pytest.raises(DataError, match=r"has several files of dev posts: dev\.csv, dev\.tsv; leave one there"):
        read(folder)
    (folder / "dev.tsv").unlink()
    with pytest.raises(DataError, match=r"its split column says 'train'; rows of split 'train' and of split 'dev'"):
        read(folder / "train.csv")
    plain = [dataclasses.replace(item, post=dataclasses.replace(item.post, split="")) for item in material.train]
    write_posts(folder / "dev.csv", plain)
    with pytest.raises(DataError, match="its split column says nothing; rows of split"):
        read(folder / "dev.csv")
    with pytest.raises(SplitError, match="dev posts are training posts"):
        read(folder)


def _posts(language: str, number: int, positives: int, *, start: str) -> list[LabelledPost]:
    return [LabelledPost(Post(f"{start}{place}", "x", language), int(place < positives)) for place in range(number)]


def test_the_paper_s_sizes_differ_in_nothing_and_one_post_less_is_told() -> None:
    train = [item for row in paper.POSTS for item in _posts(row.language, row.train, 0, start=row.language)]
    train += _posts("de_cadec", paper.CADEC_TRAIN - 5, 1, start="d") + _posts("fr_cadec", 5, 1, start="f")
    dev = [item for row in paper.POSTS for item in _posts(row.language, row.dev, row.dev_positives, start="dev")]
    dev += _posts("de_cadec", 90, 50, start="c")
    assert differences(Material(tuple(train), tuple(dev), "", (), ())) == ()
    fewer = Material(tuple(train[1:-1]), (*dev, *_posts("fa", 2, 1, start="fa")), "", (), ())
    assert differences(fewer) == (
        "de: 1,481 train and 634 dev posts (35 positive), the paper's 1,482 train and 634 dev posts (35 positive)",
        "CADEC: 809 train posts, the paper's 810",
        "fa: 0 train and 2 dev posts, the paper's none",
    )
