"""``ensemble`` and the cascade of ``tune`` as users run them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from polyvigil.bundle.store import load
from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost


@pytest.fixture(scope="module")
def folder(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles of one linear member, ``a`` and ``b``, and ``c``, tuned on fewer posts."""
    where = tmp_path_factory.mktemp("ensemble")
    english = [item for item in corpus if item.post.language in {"en", "fa"}]
    for split in ("train", "dev", "test"):
        write_posts(where / f"{split}.csv", [item for item in english if item.post.split == split])
    write_posts(where / "fewer.csv", [item for item in english if item.post.split == "dev"][::2])
    for name, dev, setting in (("a", "dev", "model.C=4"), ("b", "dev", "model.C=0.02"), ("c", "fewer", "model.C=1")):
        line = f"train linear --train {where}/train.csv --dev {where}/{dev}.csv -o {where}/{name} -q"
        assert program.run([*line.split(), "--set", setting, "--set", "decide.rule=argmax"]) == 0
    return where


@pytest.fixture(scope="module")
def joined(folder: Path) -> Path:
    line = f"ensemble {folder}/a {folder}/b -o {folder}/joined -q --weights 1.0,0.7"
    assert program.run(line.split()) == 0
    return folder / "joined"


def test_from_two_bundles_to_a_cascade_that_scores(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = f"ensemble {folder}/a {folder}/b -o {tmp_path}/joined --weights 1.0,0.7 --set decide.rule=argmax"
    assert program.run(line.split()) == 0
    told = capfd.readouterr().out
    assert f"-> {tmp_path}/joined" in told
    weights = [line.split()[-1] for line in told.splitlines() if "/00-linear, seed 42   linear" in line]
    assert weights == ["0.588", "0.412"]
    assert "a/00-linear, seed 42 + b/00-linear, seed 42" in told
    assert f"next: polyvigil tune {tmp_path}/joined -o CHEAPER --cascade 0.005" in told

    line = f"tune {tmp_path}/joined -o {tmp_path}/cheap --cascade 0 --cascade-first 1 --cascade-costs 9,1"
    assert program.run(line.split()) == 0
    told = capfd.readouterr().out
    cascade = load(tmp_path / "cheap").combination.cascade
    assert cascade is not None
    assert (cascade.first, cascade.stated, cascade.costs) == (1, 0.0, (9.0, 1.0))
    assert "cascade: member 1 decides alone unless its logit is within" in told
    verified = next(line for line in told.splitlines() if line.startswith("verified on")).split()
    assert cascade.band > 0
    assert verified[2] == f"{cascade.verified.posts}"
    assert verified[-1] == f"{cascade.verified.cost:.2f}"

    assert program.run(["inspect", f"{tmp_path}/cheap"]) == 0
    told = capfd.readouterr().out
    assert "positive, weight 0.7" in told
    assert "stated disagreement 0.00%" in told
    assert program.run(["inspect", f"{tmp_path}/cheap", "--json"]) == 0
    combination = json.loads(capfd.readouterr().out)["data"]["combination"]
    assert combination["cascade"]["band"] == cascade.band
    assert combination["weights"] == [1.0, 0.7]

    assert program.run(["score", f"{tmp_path}/cheap", f"{folder}/test.csv", "-o", f"{tmp_path}/o.csv", "-q"]) == 0
    with (tmp_path / "o.csv").open(encoding="utf-8") as stream:
        spreads = [float(row["spread"]) for row in csv.DictReader(stream)]
    assert 0 < sum(spread > 0 for spread in spreads) < 0.2 * len(spreads)
    assert program.run(["evaluate", f"{tmp_path}/cheap", f"{folder}/test.csv", "-q"]) == 0


def test_fitted_weights_on_other_dev_posts_in_json(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = f"ensemble {folder}/a {folder}/c -o {tmp_path}/f --fit-weights --dev {folder}/dev.csv --json"
    assert program.run(line.split()) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert sum(member["weight"] for member in data["members"]) == pytest.approx(1)
    assert data["gain"]["folds"] == 5
    assert data["dev"]["data"] == "dev.csv"
    assert data["dev"]["posts"] == len(load(tmp_path / "f").dev.labels)
    assert len(data["parity"]) in {0, 2}
    for member in data["parity"]:
        assert member["average_precision"]["low"] <= member["average_precision"]["high"]


def test_a_member_that_dilutes_is_named(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A member that learned from posts in another order of labels knows nothing."""
    rows = (folder / "train.csv").read_text(encoding="utf-8").splitlines()
    header, *posts = csv.reader(rows)
    place = header.index("label")
    labels = [post[place] for post in posts]
    mixed = [
        [*post[:place], label, *post[place + 1 :]] for post, label in zip(posts, labels[7:] + labels[:7], strict=True)
    ]
    with (tmp_path / "mixed.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *mixed])
    line = f"train linear --train {tmp_path}/mixed.csv --dev {folder}/dev.csv -o {tmp_path}/bad -q"
    assert program.run([*line.split(), "--set", "decide.rule=argmax"]) == 0
    capfd.readouterr()
    line = f"ensemble {folder}/a {tmp_path}/bad -o {tmp_path}/joined"
    assert program.run(line.split()) == 0
    ran = capfd.readouterr()
    assert "warning: bad/00-linear, seed 42 dilutes the ensemble: AP" in ran.err
    assert "warning: a/00-linear" not in ran.err


def test_a_note_says_that_a_cascade_is_left_out(
    joined: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program.run(f"tune {joined} -o {tmp_path}/c -q --cascade 0.01 --cascade-first 1".split()) == 0
    assert load(tmp_path / "c").combination.cascade.first == 1  # type: ignore[union-attr]
    assert program.run(f"tune {tmp_path}/c -o {tmp_path}/again".split()) == 0
    assert "the cascade is left out, since it was learned for the old thresholds" in capfd.readouterr().err
    assert load(tmp_path / "again").combination.cascade is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ensemble a -o x", "error: ensemble: one bundle is no ensemble"),
        ("ensemble a a -o x", "a: the same bundle as"),
        ("ensemble a c -o x", "c: its thresholds were tuned on other dev posts than those of the first bundle"),
        ("ensemble a c -o x", "next: give the posts to tune on, which no member was trained on: --dev DEV.csv"),
        ("ensemble a b -o x --dev train.csv", "texts of dev posts were trained on by a member"),
        ("ensemble a b -o x --weights 1,2,3", "--weights: 3 weights for 2 bundles of 2 members"),
        ("ensemble a b -o x --weights 1,0", "--weights: a weight must be above 0, not 0"),
        ("ensemble a b -o x --weights 1,-2", "--weights: a weight must be above 0, not -2"),
        ("ensemble a b -o x --weights one", "--weights: 'one' is no list of numbers"),
        ("ensemble a b -o x --weights 1,2 --fit-weights", "weights are either given or fitted"),
        ("ensemble a b -o x --set model.C=2", "only data.* and decide.* can be set here"),
        ("ensemble a b -o a", "input and output are one folder"),
        ("tune a -o x --cascade 0.01", "--cascade: the bundle has one member, and a cascade needs another to call"),
        ("tune joined -o x --cascade 1.5", "--cascade: 1.5 is no share of posts"),
        ("tune joined -o x --cascade 0.01 --cascade-first 5", "--cascade-first: there is no member 5"),
        ("tune joined -o x --cascade 0.01 --cascade-costs 1", "--cascade-costs: 1 costs given for 2 members"),
        ("tune joined -o x --cascade-first 1", "there is no cascade to ask for"),
        ("tune joined dev.csv -o x --like a --cascade 0.1", "with --like give one file of posts and nothing else"),
    ],
)
def test_errors_name_the_fault(
    folder: Path,
    joined: Path,
    line: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    capfd.readouterr()
    code = program.run(line.split())
    ran = capfd.readouterr()
    assert code in {2, 4}
    assert told in ran.err
    assert ran.out == ""
    assert not (folder / "x").exists()
