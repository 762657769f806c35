"""``augment translate`` as users run it, from posts to a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyvigil.cli import main as program
from polyvigil.config.load import parse
from polyvigil.config.recipe import LinearRecipe
from polyvigil.data.read import read_labelled
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import write_posts
from polyvigil.errors import SplitError
from polyvigil.workflows import train as training


def _run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = program.run(["augment", "translate", *map(str, arguments)])
    return code, *capfd.readouterr()


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All splits of the English and Russian sample posts."""
    path = tmp_path_factory.mktemp("augment") / "posts.csv"
    write_posts(path, [item for item in sample_corpus() if item.post.language in {"en", "ru"}])
    return path


def test_positives_alone_are_warned_of(posts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "v1.csv"
    code, out, err = _run(
        capfd, posts, "-o", output, "--to", "fa", "--mapping", "arabic", "--only", "positives", "--from", "ru"
    )
    assert code == 0
    assert "posts.csv: 900 of split dev, 1,100 of split test left out: translations are for training alone" in err
    assert "warning: fa: all 100 posts to train on are positive, so a model learns the language itself" in err
    assert out.splitlines()[2].split() == ["ru", "fa", "100", "100", "100"]
    assert f"100 translated posts -> {output}" in out
    assert all(item.label and item.post.language == "fa" for item in read_labelled(output).posts)
    assert not output.with_name("v1.csv.rejects.jsonl").exists()


def test_paper_share_is_reported_and_natural_share_is_silent(
    posts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    of = (posts, "-o", tmp_path / "fa.csv", "--to", "fa", "--mapping", "arabic", "--json")
    _, out, err = _run(capfd, *of, "--negatives", 559)
    assert "note: fa: 27.5% of 771 posts to train on are positive, 8.2% in other languages; keep balance" in err
    document = json.loads(out)
    assert document["command"] == "augment translate"
    assert document["data"]["pairs"] == [
        {"source": "en", "target": "fa", "posts": 481, "used": 481, "positives": 112},
        {"source": "ru", "target": "fa", "posts": 290, "used": 290, "positives": 100},
    ]
    assert document["data"]["prevalence"][0]["positives"] == 212
    _, out, err = _run(capfd, *of, "--max", 600, "--replace")
    assert "positive" not in err
    assert json.loads(out)["data"]["prevalence"][0]["positives"] == 49


def test_rejected_rows_are_written_to_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,text,label,language\na,it hurts so much,1,en\nb,10/10,0,en\nc,so what,perhaps,en\n")
    code, out, err = _run(capfd, source, "-o", output, "--to", "fa", "--mapping", "arabic")
    assert code == 0
    assert "set aside: 1 rows of the files and 1 of 2 translations -> " in err
    assert "1 set aside as copy: it is its source, or nearly" in out
    lines = [json.loads(line) for line in (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["'perhaps' is not 0 or 1", "copy"]
    assert (lines[1]["id"], lines[1]["translated_from"], lines[1]["source"]) == ("b__fa", "en:b", "10/10")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--to", "de", "--mapping", "arabic"), "cannot map en to de: it takes de, en, fr, ru to fa"),
        (("--to", "fa", "--from", "ja", "--mapping", "arabic"), "cannot map ja to fa"),
        (("--to", "fa", "--from", "de", "--mapping", "arabic"), "no post is left to translate to fa"),
        (("--to", "fa", "--model", "./none"), "error: ./none: no such folder"),
    ],
)
def test_bad_options_are_errors_before_anything_is_written(
    posts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    if "--model" in options:
        pytest.importorskip("torch")
    code, out, err = _run(capfd, posts, "-o", tmp_path / "fa.csv", *options)
    assert (code, out) == (2, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_csv(posts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capfd, posts, "-o", tmp_path / "fa.jsonl", "--to", "fa", "--mapping", "arabic")
    assert code == 2
    assert "translations are written as CSV" in err


def test_no_post_text_is_printed(posts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,text,label,language\na,canaryword hurts,1,en\nb,canaryword canaryword,0,en\n")
    for options in ((), ("--json",)):
        _, out, err = _run(capfd, source, "-o", tmp_path / "o.csv", "--to", "fa", "--mapping", "arabic", *options)
        assert "canaryword" not in out + err


def test_translations_train_and_never_tune(posts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "fa.csv"
    train = tmp_path / "train.csv"
    write_posts(train, [item for item in read_labelled(posts).posts if item.post.split == "train"])
    _run(capfd, train, "-o", output, "--to", "fa", "--mapping", "arabic")
    with pytest.raises(SplitError, match=r"2,600 of its dev posts are translations, which are for training alone"):
        training.gather(LinearRecipe(), train=[str(train)], dev=[str(output)])
    held_out = training.gather(parse({"data": {"folds": 0}}), train=[str(train), str(output)], dev=[])
    assert {item.post.language for item in held_out.dev} == {"en", "ru"}
    dev = {item.post.id for item in held_out.dev}
    kept = [item.post for item in held_out.train if item.post.language == "fa"]
    assert len(kept) == 2600 - len(dev)
    assert not dev & {post.group for post in kept}
    assert f"{len(dev):,} training posts are left out: translations of dev posts" in held_out.notes
    folded = training.gather(LinearRecipe(), train=[str(train), str(output)], dev=[])
    assert {item.post.language for item in folded.dev} == {"en", "ru"}
    assert sum(item.post.language == "fa" for item in folded.train) == 2600
    both = training.gather(LinearRecipe(), train=[str(posts), str(output)], dev=[])
    assert sum(item.post.language == "fa" for item in both.train) == 2600
    assert len(both.dev) == 900
