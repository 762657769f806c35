"""``polyvigil evaluate`` as users run it: slices, the dev comparison, files without labels."""

from __future__ import annotations

import csv
import hashlib
import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.report.report import Report
from polyvigil.types import LabelledPost

Ran = Callable[..., tuple[int, str, str]]
ERROR = 2


@pytest.fixture(scope="module")
def made(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv, dev.csv, test.csv (English, Russian, and in the latter Persian) and a bundle."""
    folder = tmp_path_factory.mktemp("made")
    for split in ("train", "dev", "test"):
        some = [item for item in corpus if item.post.split == split and item.post.language in {"en", "ru", "fa"}]
        write_posts(folder / f"{split}.csv", some)
    files = ["--train", str(folder / "train.csv"), "--dev", str(folder / "dev.csv")]
    assert program.run(["train", "linear", *files, "-o", str(folder / "bundle"), "-q"]) == 0
    return folder


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _write(file: Path, rows: list[dict[str, str]], *, without: str = "") -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [name for name in rows[0] if name != without], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_russian_tweets_and_reviews_are_separate_groups(ran: Ran, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    code, out, err = ran("evaluate", made / "bundle", made / "test.csv", "--by", "type", "--by", "origin", "-o", folder)
    assert code == 0
    assert "by type: 3 values" in out
    assert "by origin: " in out
    assert "Traceback" not in err
    report = Report.model_validate_json((folder / "report.json").read_bytes())
    kinds, ensemble_sources = report.evaluation.slices
    assert (kinds.column, ensemble_sources.column) == ("type", "origin")
    russian = {part.metrics.name: part.metrics for part in kinds.languages if part.language == "ru"}
    rows = [row for row in _rows(made / "test.csv") if row["language"] == "ru"]
    assert set(russian) == {"tweet", "review", "sentence"}
    for name, metrics in russian.items():
        assert metrics.posts == sum(row["type"] == name for row in rows)
        assert metrics.positives == sum(row["type"] == name and row["label"] == "1" for row in rows)
    by_name = {part.name: part for part in report.evaluation.types}
    assert {part.metrics.name: part.metrics for part in kinds.pooled} == by_name
    page = (folder / "report.html").read_bytes()
    assert "--by type --by origin" in report.command
    (folder / "report.html").unlink()
    assert ran(*shlex.split(report.command)[1:], "--replace")[0] == 0
    assert (folder / "report.html").read_bytes() == page


def test_slice_and_dev_comparison_tables_fit_80_columns(ran: Ran, made: Path) -> None:
    _, out, _ = ran("evaluate", made / "bundle", made / "test.csv", "--by", "type")
    start = out.index("against the dev posts")
    end = out.index("posts per ADE")
    assert all(len(line) <= 80 for line in out[start:end].splitlines()[:-1])


def test_dev_values_are_shown_beside_new_ones(ran: Ran, made: Path, tmp_path: Path) -> None:
    code, out, _ = ran("evaluate", made / "bundle", made / "test.csv", "-o", tmp_path, "--json")
    assert code == 0
    data = json.loads(out)["data"]
    assert data == json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    comparison = data["dev_comparison"]
    stored = json.loads((made / "bundle" / "evaluation.json").read_text(encoding="utf-8"))
    dev = {part["name"]: part["cross_fitted"]["f1"] for part in stored["languages"]}
    test = {part["name"]: part["f1"] for part in data["languages"]}
    assert [part["name"] for part in comparison["languages"]] == ["en", "ru"]
    for part in comparison["languages"]:
        one = part["f1"]
        assert (one["value"], one["dev"]) == (test[part["name"]], pytest.approx(dev[part["name"]]))
        assert one["difference"] == pytest.approx(one["value"] - one["dev"])
        assert one["low"] < one["difference"] < one["high"]
    assert comparison["pooled"]["f1"]["dev"] == pytest.approx(stored["pooled"]["cross_fitted"]["f1"])
    assert comparison["macro_f1"]["dev"] == pytest.approx(stored["cross_fitted_macro_f1"])
    assert comparison["without_dev"] == ["fa"]
    _, out, _ = ran("evaluate", made / "bundle", made / "test.csv")
    assert ["-", "-", "-", "-"] in [line.split()[3:] for line in out.splitlines() if line.startswith("fa ")]
    assert "-: no dev posts, or no positives on one side (fa)" in out


def test_dev_posts_have_no_dev_comparison(ran: Ran, made: Path) -> None:
    code, out, _ = ran("evaluate", made / "bundle", made / "dev.csv", "--by", "type", "--json")
    data = json.loads(out)["data"]
    assert (code, data["same_set"], data["dev_comparison"]) == (0, True, None)
    assert all(part["metrics"]["cross_fitted"] for part in data["slices"][0]["languages"])
    _, out, _ = ran("evaluate", made / "bundle", made / "dev.csv", "--by", "type")
    assert "against the dev posts" not in out
    assert "by type: 3 values, cross-fitted" in out


def _changed(bundle: Path, copy: Path, evaluation: Mapping[str, Any] | None) -> Path:
    """A copy of a bundle with another evaluation.json, or none; its id stays, since that moves no decision."""
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / "bundle.json").read_text(encoding="utf-8"))
    if evaluation is None:
        (copy / "evaluation.json").unlink()
        del manifest["files"]["evaluation.json"]
    else:
        raw = json.dumps(evaluation).encode()
        (copy / "evaluation.json").write_bytes(raw)
        manifest["files"]["evaluation.json"] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    (copy / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return copy


def _without(document: Any, names: set[str]) -> Any:
    if isinstance(document, dict):
        return {name: _without(value, names) for name, value in document.items() if name not in names}
    return [_without(value, names) for value in document] if isinstance(document, list) else document


@pytest.mark.parametrize("kind", ["older", "unknown", "same set only", "none"])
def test_older_bundles_show_the_same(ran: Ran, made: Path, tmp_path: Path, kind: str) -> None:
    stored = json.loads((made / "bundle" / "evaluation.json").read_text(encoding="utf-8"))
    older = _without(stored, {"slices", "dev_comparison"})
    for part in (*older["languages"], *older["types"], older["pooled"]):
        del part["cross_fitted"]["flagged"]
    evaluation = {
        "older": older,
        "unknown": {"written": "by another version"},
        "same set only": _without(stored, {"cross_fitted", "cross_fitted_macro_f1"}),
        "none": None,
    }[kind]
    changed = _changed(made / "bundle", tmp_path / "changed", evaluation)
    first, second = (
        json.loads(ran("evaluate", folder, made / "test.csv", "--json")[1])["data"]
        for folder in (made / "bundle", changed)
    )
    assert first["bundle"] == second["bundle"]
    for one, other in zip(first["dev_comparison"]["languages"], second["dev_comparison"]["languages"], strict=True):
        for metric, name in product(("f1", "precision", "recall"), ("dev", "difference", "low", "high")):
            assert other[metric][name] == pytest.approx(one[metric][name], abs=1e-9)


def test_values_are_shown_short_and_no_text_is(ran: Ran, made: Path, tmp_path: Path) -> None:
    rows = _rows(made / "test.csv")
    long = "a very long name of a site that nobody wants to read"
    file = _write(tmp_path / "t.csv", [{**row, "site": long if number % 2 else ""} for number, row in enumerate(rows)])
    code, out, _ = ran("evaluate", made / "bundle", file, "--by", "SITE", "-o", tmp_path / "r")
    assert code == 0
    assert "(none)" in out
    for name in ("report.html", "report.json", "evaluation.json"):
        written = (tmp_path / "r" / name).read_text(encoding="utf-8")
        assert long not in written
        assert long[:39] + "…" in written
    code, out, err = ran("evaluate", made / "bundle", file, "--by", "text")
    assert (code, out) == (ERROR, "")
    assert 'column "text": cannot be sliced by: it holds the posts' in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{}/bundle", "{}/test.csv", "--by", "nope"), "there is no column 'nope' to slice by"),
        (("{}/bundle", "{}/test.csv", "--by", "language"), "leave --by language out"),
        (("{}/bundle", "{}/test.csv", "--by", "id"), "distinct values in"),
        (("--predictions", "p.csv", "{}/test.csv", "--by", "type"), "slices are of a bundle's own metrics"),
        (("{}/bundle", "{}/test.csv", "--by", "type", "--leave-one-language-out"), "slices are of a bundle's own"),
    ],
)
def test_what_cannot_be_sliced_is_refused(ran: Ran, made: Path, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = ran("evaluate", *(argument.format(made) for argument in arguments))
    assert (code, out) == (ERROR, "")
    assert message in err
    assert "Traceback" not in err


def test_a_file_without_labels_is_an_error(ran: Ran, made: Path, tmp_path: Path) -> None:
    rows = _rows(made / "test.csv")
    bare = _write(tmp_path / "bare.csv", rows, without="label")
    empty = _write(tmp_path / "empty.csv", [{**row, "label": ""} for row in rows])
    score = f"polyvigil score {made / 'bundle'} {{}} -o scored.csv"
    for command in ("evaluate", "report"):
        code, _, err = ran(command, made / "bundle", bare)
        assert code == ERROR
        assert f"error: {bare}: no label column, so nothing can be measured\n" in err
        assert "--column label=NAME" in err
        assert score.format(bare) in err
        code, _, err = ran(command, made / "bundle", empty)
        assert code == ERROR
        assert f"{empty}: none of {len(rows):,} rows has a label" in err
        assert score.format(empty) in err


def test_rows_without_labels_are_counted_and_skipped(ran: Ran, made: Path, tmp_path: Path) -> None:
    rows = [
        {**row, "label": "" if number % 4 == 0 else row["label"]} for number, row in enumerate(_rows(made / "test.csv"))
    ]
    file, bare = _write(tmp_path / "some.csv", rows), sum(not row["label"] for row in rows)
    code, out, err = ran("evaluate", made / "bundle", file)
    assert code == 0
    assert f"caution: {bare:,} of {len(rows):,} rows have no label and are not measured" in out
    assert "such rows" not in err
    assert "no label" not in err
    code, _, err = ran("evaluate", made / "bundle", file, "--leave-one-language-out")
    assert code == 0
    assert err.count(f"{bare:,} of {len(rows):,} rows have no label and are not measured") == 1
    assert "such rows" not in err
    predictions = tmp_path / "p.csv"
    predictions.write_text("id,predicted_label\n" + "".join(f"{row['id']},0\n" for row in rows), encoding="utf-8")
    code, out, err = ran("evaluate", "--predictions", predictions, file)
    assert (code, out) == (ERROR, "")
    assert f"error: {file}:2: {bare:,} of {len(rows):,} rows have no label, so there is no official score" in err
    assert f"polyvigil check {file}" in err
    code, _, err = ran("evaluate", "--predictions", predictions, made / "train.csv")
    assert code == ERROR
    assert f"{predictions}: " in err
    assert "and no predicted id is in the gold file" in err
    assert f"polyvigil submit BUNDLE {made / 'train.csv'} -o submission.zip" in err


def test_predictions_are_what_submit_and_score_write(ran: Ran, made: Path, tmp_path: Path) -> None:
    gold = made / "test.csv"
    assert ran("submit", made / "bundle", gold, "-o", tmp_path / "s.zip")[0] == 0
    code, out, _ = ran("evaluate", "--predictions", tmp_path / "s.zip", gold, "--json")
    assert code == 0
    scores = json.loads(out)["data"]
    assert {"F1", "F1-en", "F1-ru"} <= scores.keys()
    for name in ("o.csv", "o.jsonl.gz", "o.parquet", "parts/"):
        parts = ["--part-posts", "100"] if name == "parts/" else []
        assert ran("score", made / "bundle", gold, "-o", f"{tmp_path}/{name}", *parts)[0] == 0
        code, out, err = ran("evaluate", "--predictions", f"{tmp_path}/{name}", gold, "--json")
        assert code == 0, err
        assert json.loads(out)["data"] == scores
    assert len([*(tmp_path / "parts").glob("part-*")]) > 1


def test_predictions_that_cannot_be_matched_are_refused(ran: Ran, made: Path, tmp_path: Path) -> None:
    gold = made / "test.csv"
    bare = _write(tmp_path / "bare.csv", _rows(gold)[:5], without="id")
    assert ran("score", made / "bundle", bare, "-o", tmp_path / "o.csv")[0] == 0
    code, _, err = ran("evaluate", "--predictions", tmp_path / "o.csv", gold)
    assert code == ERROR
    assert f"{tmp_path / 'o.csv'}: the scored posts have no column of ids, by which they are matched" in err
    assert "give the posts an id and score them again" in err
    named = _write(tmp_path / "named.csv", [{**row, "key": row["id"]} for row in _rows(gold)], without="id")
    assert ran("score", made / "bundle", named, "-o", tmp_path / "k.csv")[0] == 0
    code, _, err = ran("evaluate", "--predictions", tmp_path / "k.csv", named, "--column", "id=key")
    assert code == 0, err
    (tmp_path / "other.csv").write_text("post,answer\na,1\n", encoding="utf-8")
    code, _, err = ran("evaluate", "--predictions", tmp_path / "other.csv", gold)
    assert code == ERROR
    assert (
        "the header must be id,predicted_label, or that of an output of polyvigil score; it has 'post', 'answer'" in err
    )


def test_check_looks_at_files_without_labels(ran: Ran, made: Path, tmp_path: Path) -> None:
    """The shared task's own test file: leaks, repeated ids and languages are found, and nothing is said of labels."""
    rows = [*_rows(made / "test.csv"), *_rows(made / "train.csv")[:20]]
    bare = _write(tmp_path / "bare.csv", rows, without="label")
    empty = _write(tmp_path / "empty.csv", [{**row, "label": ""} for row in rows])
    for file, why in ((bare, "it has 'id', 'text', "), (empty, 'column "label" is empty')):
        code, out, err = ran("check", made / "train.csv", file, "--json")
        assert code == 0, err
        result = json.loads(out)["data"]
        train, test = result["files"]
        assert (test["posts"], test["positives"], test["labels"]) == (len(rows), None, [])
        assert train["positives"] == sum(row["label"] == "1" for row in _rows(made / "train.csv"))
        of_test = [count for count in result["languages"] if count["file"] == str(file)]
        assert {(count["positives"], count["share"]) for count in of_test} == {(None, None)}
        assert not {"one-class", "no-positives", "few-dev-positives"} & {f["code"] for f in result["findings"]}
        assert f"note: {file}: has no labels, and is read without them ({why}" in err
    other = _write(tmp_path / "other.csv", [{**row, "split": "test"} for row in rows], without="label")
    code, out, _ = ran("check", made / "train.csv", other, "--strict")
    assert code == 3
    assert f"of split 'test' of {other} stand in split 'train' of {made / 'train.csv'} too" in out
    assert "labels of other.csv: none" in out
    leaks = json.loads(ran("check", made / "train.csv", other, "--json")[1])["data"]["leaks"]
    assert sum(leak["exact"] for leak in leaks if leak["first_split"] != leak["second_split"]) >= 20


def test_check_of_unlabelled_files_alone(ran: Ran, made: Path, tmp_path: Path) -> None:
    bare = _write(tmp_path / "bare.csv", [*_rows(made / "test.csv")] * 2, without="label")
    code, out, _ = ran("check", bare, "--json")
    assert code == 0
    result = json.loads(out)["data"]
    assert result["scripts"] == result["giveaways"] == []
    codes = {finding["code"] for finding in result["findings"]}
    assert {"repeated-id", "duplicates"} <= codes
    assert "one-class" not in codes


def test_check_prints_characters_by_language_and_type(ran: Ran, made: Path) -> None:
    code, out, _ = ran("check", made / "test.csv")
    assert code == 0
    assert "characters of the texts as read, before normalisation" in out
    lengths = json.loads(ran("check", made / "test.csv", "--json")[1])["data"]["lengths"]
    rows = [row for row in _rows(made / "test.csv") if (row["language"], row["type"]) == ("ru", "review")]
    (one,) = (part for part in lengths if (part["language"], part["type"]) == ("ru", "review"))
    assert one["posts"] == len(rows)
    assert one["mean"] == pytest.approx(sum(len(row["text"]) for row in rows) / len(rows))
    assert f"{one['mean']:,.1f}" in out
