"""``--column``, for one file and for all; and the columns that a bundle was trained with."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

from polyvigil.cli import main as program
from polyvigil.cli.columns import ColumnOptions
from polyvigil.data.write import write_posts
from polyvigil.errors import RecipeError
from polyvigil.types import LabelledPost

ERROR = 2
OTHER = {"text": "words", "label": "gold"}
LABELS = ["--set", "data.labels.1=0", "--set", "data.labels.2=1"]


def _renamed(source: Path, target: Path, names: Mapping[str, str], *, labels: Mapping[str, str] | None = None) -> Path:
    with source.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    target.parent.mkdir(exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([names.get(name, name) for name in rows[0]])
        for row in rows:
            label = (labels or {}).get(row["label"], row["label"])
            writer.writerow([label if name == "label" else value for name, value in row.items()])
    return target


@pytest.fixture(scope="module")
def made(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.csv and test.csv, the same under ``other/`` with other columns, and labels 1 and 2, and a bundle of it."""
    folder = tmp_path_factory.mktemp("columns")
    for split in ("train", "test"):
        some = [item for item in corpus if item.post.split == split and item.post.language == "en"][:300]
        write_posts(folder / f"{split}.csv", some)
        _renamed(folder / f"{split}.csv", folder / "other" / f"{split}.csv", OTHER, labels={"0": "1", "1": "2"})
    columns = ["--column", "text=words", "--column", "train.csv:label=gold", *LABELS]
    line = ["train", "linear", "--train", str(folder / "other/train.csv"), *columns, "-o", str(folder / "bundle"), "-q"]
    assert program.run(line) == 0
    return folder


def test_columns_of_one_file_alone(ran: Ran, made: Path, tmp_path: Path) -> None:
    words = _renamed(made / "test.csv", tmp_path / "test.csv", OTHER)
    code, _, err = ran("check", made / "train.csv", words, "--column", "label=gold")
    assert code == ERROR
    assert f"{made / 'train.csv'}: there is no column 'gold' (given for label)" in err
    assert "of one file alone: --column FILE:label=NAME" in err
    for name in ("test.csv", str(words)):
        own = ["--column", f"{name}:label=gold", "--column", f"{name}:text=words"]
        code, out, err = ran("check", made / "train.csv", words, *own, "--json")
        assert code == 0, err
        files = json.loads(out)["data"]["files"]
        assert all(file["positives"] > 0 for file in files)
    own = ["--column", "test.csv:label=gold", "--column", "test.csv:text=words"]
    line = ["train", "linear", "--train", made / "train.csv", "--dev", words, *own, "-o", tmp_path / "b", "-q"]
    assert ran(*line)[0] == 0
    recipe = (tmp_path / "b" / "recipe.toml").read_text(encoding="utf-8")
    assert 'file_columns = {"test.csv" = {label = "gold", text = "words"}}' in recipe
    assert "trained_columns" not in recipe
    assert "file_columns" not in (made / "bundle" / "recipe.toml").read_text(encoding="utf-8").replace(
        'file_columns = {"train.csv" = {label = "gold"}}', ""
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("trian.csv:label=gold", "no input is called 'trian.csv'; the inputs are {0}/train.csv, {0}/test.csv"),
        ("train.csv:labl=gold", "'labl' is no part; parts are id, text, label, "),
        (":label=gold", "'label' is no part"),
        ("label", "is not part=NAME; for example --column text=tweet, or of one file alone --column train.csv:label"),
        ("train.csv:label=", "is not part=NAME"),
    ],
)
def test_what_cannot_be_meant_is_refused(ran: Ran, made: Path, option: str, message: str) -> None:
    code, _, err = ran("check", made / "train.csv", made / "test.csv", "--column", option)
    assert code == ERROR
    assert f"error: --column '{option}'" in err
    assert message.format(made) in err.replace("\n  next: ", "; ")


def test_a_name_of_a_file_may_hold_equals_signs_and_colons() -> None:
    files = ("data/language=de/a:b.csv", "out.csv")
    options = ["language=de/a:b.csv:label=x=y:z", "text=a:label=b", "a:b.csv:text=t"]
    columns = ColumnOptions.of(options, files)
    assert columns.file_columns == {"language=de/a:b.csv": {"label": "x=y:z"}, "a:b.csv": {"text": "t"}}
    assert columns.columns == {"text": "a:label=b"}
    with pytest.raises(RecipeError, match=r"no input is called 'b\.csv'; name the file to read"):
        ColumnOptions.of(["b.csv:text=t"], files)


def test_files_of_folders_and_globs_have_columns_of_their_own(ran: Ran, made: Path, tmp_path: Path) -> None:
    _renamed(made / "test.csv", tmp_path / "in" / "x.csv", OTHER)
    _renamed(made / "test.csv", tmp_path / "in" / "y.csv", {"text": "body", "label": "y"})
    own = ["--column", "x.csv:text=words", "--column", "in/y.csv:text=body"]
    code, _, err = ran("score", made / "bundle", tmp_path / "in", "-o", tmp_path / "o.jsonl", *own)
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["p"] for row in rows if "words" in row] == [row["p"] for row in rows if "body" in row]
    code, _, err = ran(
        "score", made / "bundle", tmp_path / "in" / "*.csv", "-o", tmp_path / "o", "--column", "z.csv:text=t"
    )
    assert code == ERROR
    assert f"no input is called 'z.csv'\n  next: the inputs are {tmp_path}/in/x.csv, {tmp_path}/in/y.csv\n" in err


def test_a_bundle_reads_by_the_columns_it_was_trained_with(ran: Ran, made: Path, tmp_path: Path) -> None:
    """Where a file has them: its plain twin is read as any file is, and gives the same."""
    metrics = []
    for file in (made / "other" / "test.csv", made / "test.csv"):
        code, out, err = ran("evaluate", made / "bundle", file, "--json")
        assert code == 0, err
        metrics.append(json.loads(out)["data"]["pooled"])
        assert ("as when the bundle was trained" in err) == (file.parent.name == "other")
        assert ("'1' (" in err) == (file.parent.name == "other")
    assert metrics[0] == metrics[1]
    other = made / "other" / "test.csv"
    for line in (
        ("score", made / "bundle", other, "-o", tmp_path / "o.csv"),
        ("explain", made / "bundle", other, "-o", tmp_path / "e.jsonl"),
        ("submit", made / "bundle", other, "-o", tmp_path / "s.zip"),
        ("tune", made / "bundle", other, "-o", tmp_path / "tuned"),
        ("tune", made / "bundle", made / "test.csv", "-o", tmp_path / "tuned2"),
        ("audit", "truncation", made / "bundle", other),
    ):
        code, _, err = ran(*line)
        assert code in (0, 3), err
    assert (tmp_path / "tuned" / "policy.json").read_bytes() == (tmp_path / "tuned2" / "policy.json").read_bytes()
    code, _, err = ran("score", made / "bundle", other, "-o", tmp_path / "x.csv", "--column", "text=nowhere")
    assert code == ERROR
    assert "there is no column 'nowhere' (given for text)" in err
