"""The posts of a reproduction: folders, files, their faults, and how they differ from the paper's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from polyvigil.data.write import write_posts
from polyvigil.errors import DataError, SplitError
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows.train import TrainingData
from polyvigil_gladiators import paper
from polyvigil_gladiators.posts import Files, differences, digest, of_language
from polyvigil_gladiators.posts import read as read_files
from polyvigil_gladiators.test_posts import check_unseen, read_test


def read(*data: Path) -> TrainingData:
    return read_files(Files(data).resolved)


def test_a_folder_and_a_file_with_splits_are_the_same_posts(few: Path, tmp_path: Path) -> None:
    folder = read(few)
    write_posts(tmp_path / "all.jsonl.csv", [*folder.train, *folder.dev])
    file = read(tmp_path / "all.jsonl.csv")
    assert (file.train, file.dev) == (folder.train, folder.dev)
    assert digest(file.train) == digest(folder.train) != digest(folder.train[::-1])
    assert {item.post.language for item in of_language(folder, "ja").dev} == {"ja"}
    assert of_language(folder, "") is folder


def test_errors_have_a_hint(few: Path, tmp_path: Path) -> None:
    material = read(few)
    with pytest.raises(DataError, match=r"nothing: no such folder or file; give a folder with train\.csv and dev\.csv"):
        read(tmp_path / "nothing")
    folder = tmp_path / "folder"
    folder.mkdir()
    write_posts(folder / "train.csv", material.train)
    with pytest.raises(DataError, match=r"folder: has no dev posts; call it dev\.csv or dev_\*\.csv"):
        read(folder)
    write_posts(folder / "dev.csv", material.dev)
    (folder / "dev.tsv").write_text("x")
    with pytest.raises(DataError, match=r"has dev in several formats: dev\.csv, dev\.tsv; leave one there"):
        read(folder)
    (folder / "dev.tsv").unlink()
    with pytest.raises(
        DataError, match=r"there are no dev posts; give a folder with dev\.csv, a file with rows of split"
    ):
        read(folder / "train.csv")
    plain = [dataclasses.replace(item, post=dataclasses.replace(item.post, split="")) for item in material.train]
    write_posts(folder / "dev.csv", plain, replace=True)
    with pytest.raises(DataError, match="its split column says nothing; rows of split"):
        read(folder / "dev.csv")
    with pytest.raises(SplitError, match="dev posts are training posts"):
        read(folder)


def test_the_task_s_files_as_they_come(few: Path, tmp_path: Path) -> None:
    """Two train files and two dev files, their splits named as the shared task names them, given in three ways."""
    whole = read(few)
    folder = tmp_path / "task"
    folder.mkdir()
    named: dict[str, list[Path]] = {"train": [], "dev": []}
    for part, items in (("train", whole.train), ("dev", whole.dev)):
        for number, (name, year) in enumerate((("data_SMM4H_2026_Task_1", "2026"), ("data_cadec_translated", "26"))):
            path = folder / f"{part}_{name}.csv"
            some = [
                dataclasses.replace(item, post=dataclasses.replace(item.post, split=f"SMM4H_{year}_{part}"))
                for item in items[number::2]
            ]
            write_posts(path, some)
            named[part].append(path)
    (folder / "trainer.csv").write_text("no posts at all")
    from_folder = read(folder)
    assert {item.post.id for item in from_folder.train} == {item.post.id for item in whole.train}
    assert {item.post.split for item in from_folder.dev} == {"dev"}
    by_name = read_files(Files(train=tuple(named["train"]), dev=tuple(named["dev"])).resolved)
    as_data = read(*named["train"], *named["dev"])
    assert digest(from_folder.train) == digest(by_name.train) == digest(as_data.train)
    assert digest(from_folder.dev) == digest(by_name.dev) == digest(as_data.dev)
    with pytest.raises(DataError, match="a file of train posts is given twice; give each file once"):
        read(folder, named["train"][0])
    with pytest.raises(DataError, match=r"none\.csv: no such file; give a file of dev posts: --dev FILE"):
        read_files(Files(train=tuple(named["train"]), dev=(tmp_path / "none.csv",)).resolved)


def _test_file(path: Path, rows: list[str]) -> Path:
    path.write_text("id,text,label,language\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_test_posts_have_all_their_labels_or_none(few: Path, tmp_path: Path) -> None:
    labelled = _test_file(tmp_path / "a.csv", ["1,one,1,en", "2,two,0.0,fa"])
    posts = read_test([labelled])
    assert posts is not None
    assert posts.has_labels
    assert posts.labels.tolist() == [1, 0]
    bare = _test_file(tmp_path / "b.csv", ["1,one,,en", "2,two,,fa"])
    without = read_test([bare])
    assert without is not None
    assert not without.has_labels
    assert without.digest == posts.digest  # scores do not depend on labels
    assert read_test([]) is None
    some = _test_file(tmp_path / "c.csv", ["1,one,1,en", "2,two,,fa", "3,three,0,en"])
    with pytest.raises(DataError, match=r"c\.csv: 1 of 3 test posts have no label, and the others have one; fill in"):
        read_test([some])
    with pytest.raises(DataError, match=r"--test: 2 of 4 test posts have no label"):
        read_test([labelled, bare])
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("id,text,label,language,split\n1,one,1,en,x_train\n2,two,,fa,x_test\n3,three,,en,x_test\n")
    of_split_test = read_test([mixed])
    assert of_split_test is not None
    assert [post.id for post in of_split_test.posts] == ["2", "3"]
    odd = _test_file(tmp_path / "d.csv", ["1,one,1,en", "2,two,perhaps,fa"])
    with pytest.raises(DataError, match=r'd\.csv:3: column "label": is not 0, 1 or empty'):
        read_test([odd])
    material = read(few)
    write_posts(tmp_path / "seen.csv", material.dev)
    seen = read_test([tmp_path / "seen.csv"])
    assert seen is not None
    with pytest.raises(
        SplitError, match=r"seen\.csv: 120 of 120 test posts are dev posts; metrics on them prove nothing"
    ):
        check_unseen(seen, material.train, material.dev)


def _posts(language: str, number: int, positives: int, *, start: str) -> list[LabelledPost]:
    return [LabelledPost(Post(f"{start}{place}", "x", language), int(place < positives)) for place in range(number)]


def test_the_paper_s_sizes_are_checked() -> None:
    train = [item for row in paper.POSTS for item in _posts(row.language, row.train, 0, start=row.language)]
    train += _posts("de_cadec", paper.CADEC_TRAIN - 5, 1, start="d") + _posts("fr_cadec", 5, 1, start="f")
    dev = [item for row in paper.POSTS for item in _posts(row.language, row.dev, row.dev_positives, start="dev")]
    dev += _posts("de_cadec", 90, 50, start="c")
    assert differences(TrainingData(tuple(train), tuple(dev), "", (), ())) == ()
    fewer = TrainingData(tuple(train[1:-1]), (*dev, *_posts("fa", 2, 1, start="fa")), "", (), ())
    assert differences(fewer) == (
        "de: 1,481 train and 634 dev posts (35 positive), the paper's 1,482 train and 634 dev posts (35 positive)",
        "CADEC: 809 train posts, the paper's 810",
        "fa: 0 train and 2 dev posts, the paper's none",
    )
