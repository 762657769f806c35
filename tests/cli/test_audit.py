"""`polyvigil audit KIND` as users run it: exit code 3 and a sentence when a gate says no, 0 when none does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.shortcuts import planted, trained

from polyvigil.bundle import store
from polyvigil.cli import main as program
from polyvigil.cli.commands import AUDITS
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost


class Ran:
    """One run of the program in this process."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, object]:
        lines = self.out.strip().splitlines()
        assert len(lines) == 1, "exactly one document on stdout"
        document: dict[str, object] = json.loads(lines[0])
        return document

    @property
    def refusing(self) -> set[str]:
        """The gates that say no, by the JSON document."""
        return {gate["name"] for gate in self.json["data"]["gates"] if not gate["passed"]}  # type: ignore[index]


@pytest.fixture
def audit(capfd: pytest.CaptureFixture[str]) -> object:
    def run_one(*arguments: object) -> Ran:
        capfd.readouterr()
        code = program.run(["audit", *(str(argument) for argument in arguments)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Ran(code, out, err)

    return run_one


@pytest.fixture(scope="module")
def files(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.csv, test.csv, fresh.csv (dev and test) in three languages; planted.csv, with one of positives alone."""
    folder = tmp_path_factory.mktemp("audit")
    chosen = [item for item in corpus if item.post.language in {"de", "en", "ja"}]
    for split in ("train", "test"):
        write_posts(folder / f"{split}.csv", [item for item in chosen if item.post.split == split])
    write_posts(folder / "fresh.csv", [item for item in chosen if item.post.split != "train"])
    train = [item for item in corpus if item.post.split == "train" and item.post.language in {"en", "ru"}]
    write_posts(folder / "planted.csv", train + planted(train, seed=1, positives=1.0))
    return folder


@pytest.fixture(scope="module")
def shortcut_bundle(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on planted.csv: 137 positives in Arabic letters and no negative."""
    train, dev = (
        [item for item in corpus if item.post.split == split and item.post.language in {"en", "ru"}]
        for split in ("train", "dev")
    )
    bundle = trained(train + planted(train, seed=1, positives=1.0), dev)
    output = tmp_path_factory.mktemp("shortcut") / "bundle"
    save(output, bundle, members=bundle.members)
    return output


def save(output: Path, bundle: store.Bundle, *, members: Sequence[store.Member], **changed: Any) -> Path:
    """Write a bundle with some parts changed."""
    parts = {name: getattr(bundle, name) for name in ("combination", "policy", "calibration", "dev", "seen")}
    store.save(output, members=members, documents={}, **(parts | changed))
    return output


def with_japanese_threshold(folder: Path, output: Path, value: float) -> Path:
    """The bundle in ``folder`` with another threshold for ja."""
    bundle = store.load(folder)
    moved = bundle.policy.threshold("ja").model_copy(update={"value": value})
    policy = bundle.policy.with_thresholds({**bundle.policy.thresholds, "ja": moved})
    return save(output, bundle, members=store.copied(folder, bundle), policy=policy)


@pytest.mark.parametrize("kind", AUDITS)
def test_help_opens_with_two_examples(audit, kind: str) -> None:  # type: ignore[no-untyped-def]
    ran = audit(kind, "--help")
    assert ran.code == 0
    _, examples, *rest = re.split(r"\n\n", ran.out)
    lines = examples.strip().splitlines()
    assert [line.strip() for line in lines[:1]] == ["Examples:"]
    assert len(lines) == 3
    assert all(f"polyvigil audit {kind} " in line for line in lines[1:])
    assert rest


def test_a_kind_is_needed(audit) -> None:  # type: ignore[no-untyped-def]
    assert audit("nothing").code == 2
    assert "polyvigil audit" in audit("nothing").err


def test_data(audit, files: Path) -> None:  # type: ignore[no-untyped-def]
    assert audit("data", files / "train.csv", "-q").code == 0
    ran = audit("data", files / "planted.csv", "--json")
    assert ran.code == 3
    assert (ran.json["ok"], ran.json["command"]) == (False, "audit data")
    codes = {finding["code"] for finding in ran.json["data"]["findings"] if finding["severity"] == "error"}
    assert codes == {"positives-only"}


def test_shortcuts(audit, files: Path, bundle_folder: Path, shortcut_bundle: Path) -> None:  # type: ignore[no-untyped-def]
    clean = audit("shortcuts", bundle_folder, files / "test.csv", "--train", files / "train.csv")
    assert clean.code == 0
    assert clean.out.endswith("every gate is passed\n")
    found = audit("shortcuts", shortcut_bundle, files / "test.csv", "--json")
    assert found.code == 3
    assert found.json["command"] == "audit shortcuts"
    assert found.refusing >= {"trained-on-positives", "junk-lift"}
    told = audit("shortcuts", shortcut_bundle, files / "test.csv", "--train", files / "planted.csv")
    assert told.code == 3
    assert "\njunk-lift: Arabic script: junk of random letters score " in told.out
    assert "\npositives-only: fa in Arabic script: all 137 training posts are positive (100%; " in told.out
    assert re.search(r"\n\d+ of 12 gates say no\n$", told.out)


def test_calibration(audit, files: Path, bundle_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The shift of the paper's Japanese threshold, .70 -> .27; no label is looked at."""
    old = with_japanese_threshold(bundle_folder, tmp_path / "old", 0.70)
    new = with_japanese_threshold(bundle_folder, tmp_path / "new", 0.27)
    same = audit("calibration", old, old, files / "fresh.csv", "--json")
    assert (same.code, same.refusing) == (0, set())
    moved = audit("calibration", old, new, files / "fresh.csv")
    assert moved.code == 3
    assert "threshold 0.70 -> 0.27" in moved.out
    assert "polyvigil tune NEW posts.csv --like OLD -o TUNED" in moved.out
    document = audit("calibration", old, new, files / "fresh.csv", "--json").json
    gate = document["data"]["gates"][0]
    assert [finding["where"]["language"] for finding in gate["findings"]] == ["ja"]


def test_augmentation(audit, files: Path, bundle_folder: Path, shortcut_bundle: Path) -> None:  # type: ignore[no-untyped-def]
    same = audit("augmentation", bundle_folder, bundle_folder, files / "test.csv", "--json")
    assert (same.code, same.refusing) == (0, set())
    lost = audit("augmentation", bundle_folder, shortcut_bundle, files / "test.csv")
    assert lost.code == 3, "the second bundle knows neither German nor Japanese"
    assert re.search(r"\nf1-lost: ja: F1 fell from 0\.\d{3} to 0\.\d{3} on 600 posts, by ", lost.out)


def test_truncation_and_similarity(audit, files: Path, bundle_folder: Path) -> None:  # type: ignore[no-untyped-def]
    cut = audit("truncation", bundle_folder, files / "test.csv")
    assert cut.code == 0
    assert cut.out.startswith("no member counts tokens, so no post is cut\n")
    alike = audit("similarity", bundle_folder, files / "test.csv", "--json")
    assert alike.code == 0
    data = alike.json["data"]
    assert [part["language"] for part in data["languages"]] == ["de", "en", "ja"]
    assert [len(row) for row in data["overlaps"]] == [3, 3, 3]
    assert "overlap of the histograms" in audit("similarity", bundle_folder, files / "test.csv").out


def test_no_post_text_in_any_output(audit, files: Path, bundle_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "canary.csv"
    rows = [f"{n},ZQXCANARY my head hurts {n} since the pill,{n % 4 // 3},en,tweet" for n in range(80)]
    path.write_text("id,text,label,language,type\n" + "\n".join(rows) + "\n", encoding="utf-8")
    for arguments in (
        ("shortcuts", bundle_folder, path),
        ("calibration", bundle_folder, bundle_folder, path),
        ("augmentation", bundle_folder, bundle_folder, path),
        ("truncation", bundle_folder, path),
        ("similarity", bundle_folder, path),
    ):
        for ran in (audit(*arguments), audit(*arguments, "--json")):
            assert ran.code in {0, 3}
            assert "canary" not in (ran.out + ran.err).casefold().replace(str(path), "").replace("canary.csv", "")


def test_bad_files_and_bundles_are_errors(audit, files: Path, bundle_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert audit("shortcuts", tmp_path / "none", files / "test.csv").code == 4
    assert audit("calibration", bundle_folder, bundle_folder, tmp_path / "none.csv").code == 2
    trained_on = audit("augmentation", bundle_folder, bundle_folder, files / "train.csv", "--json")
    assert trained_on.code == 2
    assert trained_on.json["error"]["code"] == "split"
