"""The Python door: the same posts by every kind of input, and the same decisions and messages as the command line."""

from __future__ import annotations

import csv
import json
import multiprocessing
import pickle
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import polyvigil
from polyvigil.api import Bundle
from polyvigil.bundle import store
from polyvigil.config.recipe import LinearRecipe
from polyvigil.config.score import ScoreSpec
from polyvigil.data.write import write_posts
from polyvigil.errors import BundleError, DataError, RecipeError
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.explain import ExplainOptions, explain_file, terms_of
from polyvigil.scoring.wire import COLUMNS, SEVERAL_MEMBERS, TOKENS
from polyvigil.types import LabelledPost

FILLED = tuple(name for name in COLUMNS if name not in (*SEVERAL_MEMBERS, *TOKENS))
"""The columns of a bundle of one linear member."""

KINDS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "dicts": list,
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "polars lazy": pl.LazyFrame,
    "pyarrow": pa.Table.from_pylist,
}


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return polyvigil.load(bundle_folder)


@pytest.fixture(scope="module")
def test_posts(corpus: tuple[LabelledPost, ...]) -> list[LabelledPost]:
    return [item for item in corpus if item.post.language in {"de", "en", "ja"} and item.post.split == "test"]


@pytest.fixture(scope="module")
def rows(test_posts: list[LabelledPost]) -> list[dict[str, Any]]:
    columns = ("id", "text", "language", "type")
    return [{name: getattr(item.post, name) for name in columns} | {"label": item.label} for item in test_posts]


def _columns(table: Any) -> dict[str, list[Any]]:
    """Any table as lists by column, NaN as None."""
    if isinstance(table, pa.Table):
        return {name: table.column(name).to_pylist() for name in table.column_names}
    lists = {str(name): list(table[name]) for name in table.columns}
    return {name: [None if pd.isna(value) else value for value in values] for name, values in lists.items()}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_posts_without_a_language_are_decided_as_on_the_command_line(
    bundle: Bundle, corpus: tuple[LabelledPost, ...], tmp_path: Path
) -> None:
    texts = [item.post.text for item in corpus][:: len(corpus) // 400][:400]
    assert len(texts) == 400
    _write(tmp_path / "posts.csv", [{"text": text} for text in texts])
    score_file(bundle, str(tmp_path / "posts.csv"), str(tmp_path / "scored.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = {column: [line[column] for line in lines] for column in ("text", *FILLED)}
    for posts in (
        texts,
        pd.Series(texts),
        np.array(texts),
        *(make([{"text": t} for t in texts]) for make in KINDS.values()),
    ):
        assert _columns(bundle.decide(posts)) == expected
    assert bundle.predict(texts).tolist() == expected["decision"]
    assert bundle.predict_proba(texts)[:, 1].tolist() == pytest.approx(expected["p"], rel=1e-5)
    assert bundle.predict(texts, [None] * 400).tolist() == expected["decision"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_decisions_is_of_the_kind_of_the_posts(
    kind: str, bundle: Bundle, rows: list[dict[str, Any]]
) -> None:
    posts = KINDS[kind](rows)
    table = polyvigil.score(bundle, posts, evidence=True)
    assert type(table) is {"dicts": pa.Table, "polars lazy": pl.DataFrame}.get(kind, type(posts))
    columns = _columns(table)
    assert list(columns) == [
        "id",
        "text",
        "input_language",
        "type",
        "label",
        *FILLED,
        "evidence_start",
        "evidence_end",
    ]
    assert columns == _columns(polyvigil.score(bundle, rows, evidence=True))
    for flagged, start in zip(columns["decision"], columns["evidence_start"], strict=True):
        assert (start is not None) == bool(flagged)


def test_a_pandas_index_and_columns_named_like_ours_stay(bundle: Bundle, rows: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(rows[:6]).assign(p=0.5).set_index(pd.Index(list("uvwxyz")))
    frame.loc["w", "language"] = "Elvish"
    with pytest.warns(polyvigil.DataWarning, match='1 rows set aside: posts:3: column "language"'):
        table = bundle.decide(frame, on_error="quarantine")
    assert list(table.index) == list("uvxyz")
    assert table["input_p"].tolist() == [0.5] * 5
    assert table["input_language"].tolist() == frame.drop("w")["language"].tolist()
    assert table["p"].tolist() == pytest.approx(bundle.predict_proba(frame.drop("w"))[:, 1].tolist(), rel=1e-5)
    again = bundle.decide(table)
    assert again["input_p"].tolist() == [0.5] * 5
    assert again["input_p_2"].tolist() == table["p"].tolist() == again["p"].tolist()


BAD: dict[str, Any] = {
    "none": {"text": None},
    "nan": {"text": float("nan")},
    "int id": {"id": 7, "text": "a headache from these pills"},
    "float id": {"id": 7.0, "text": "a headache from these pills"},
    "bool label": {"text": "a headache from these pills", "label": True},
    "bytes": {"text": "Kopfschmerzen für Tage".encode()},
    "no UTF-8": {"text": "Kopfschmerzen für Tage".encode("latin-1")},
    "language name": {"text": "a headache from these pills", "language": "English"},
    "language tag": {"text": "a headache from these pills", "language": "en-US"},
    "no text column": {"txet": "a headache from these pills"},
}


@pytest.mark.parametrize("kind", [*KINDS, "object"])
@pytest.mark.parametrize("case", BAD)
def test_values_are_taken_or_refused_as_on_the_command_line(
    case: str, kind: str, bundle: Bundle, tmp_path: Path
) -> None:
    rows = [BAD[case]]
    source = str(tmp_path / "posts.parquet")
    pq.write_table(pa.Table.from_pylist(rows), source)
    make = KINDS.get(kind, lambda rows: pd.DataFrame(rows, dtype=object))
    spec = ScoreSpec(on_error="fail")
    refused = ""
    try:
        score_file(bundle, source, str(tmp_path / "scored.jsonl"), spec=spec)
    except DataError as error:
        refused = str(error).replace(source, "posts")
    if refused:
        with pytest.raises(DataError) as raised:
            bundle.decide(make(rows))
        assert str(raised.value) == refused
        return
    expected = json.loads((tmp_path / "scored.jsonl").read_text(encoding="utf-8"))
    columns = _columns(bundle.decide(make(rows)))
    assert {name: columns[name] for name in FILLED} == {name: [expected[name]] for name in FILLED}


@pytest.mark.parametrize("value", [None, float("nan"), 2, "yes", b"\xff", "", True, 1.0, "0"])
def test_labels_are_taken_or_refused_as_on_the_command_line(value: Any, tmp_path: Path) -> None:
    rows = [{"text": "a headache from these pills", "label": value}]
    source = str(tmp_path / "posts.parquet")
    pq.write_table(pa.Table.from_pylist(rows), source)

    def reading(posts: Any) -> str:
        try:
            return f"{polyvigil.read_labelled(posts, on_error='fail').posts}"
        except DataError as error:
            return str(error).replace(source, "train")

    from polyvigil.data.frames import source_of

    for make in KINDS.values():
        assert reading(source_of(make(rows), name="train")) == reading(source)


def test_columns_are_named_and_missing_ones_refused(bundle: Bundle, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    renamed = [{"a": row["text"], "b": row["language"], "c": row["label"]} for row in rows]
    table = polyvigil.score(bundle, pd.DataFrame(renamed), text="a", language="b")
    probabilities = bundle.predict_proba(pd.DataFrame(rows)[["text", "language"]])[:, 1]
    assert table["p"].tolist() == pytest.approx(probabilities.tolist(), rel=1e-5)
    evaluation = polyvigil.evaluate(bundle, pl.DataFrame(renamed), text="a", language="b", label="c")
    assert evaluation.pooled == polyvigil.evaluate(bundle, rows).pooled
    _write(tmp_path / "posts.csv", renamed)
    for given in ({}, {"text": "d"}):
        with pytest.raises(DataError) as on_file:
            polyvigil.score(bundle, tmp_path / "posts.csv", **given)
        with pytest.raises(DataError) as in_memory:
            polyvigil.score(bundle, renamed, **given)
        assert str(in_memory.value) == str(on_file.value).replace(str(tmp_path / "posts.csv"), "posts")
    with pytest.raises(RecipeError, match=r"only data\.\* can be set here"):
        polyvigil.evaluate(bundle, rows, settings={"model.C": 2})
    with pytest.raises(DataError, match="a column name stands twice"):
        bundle.decide(pd.DataFrame([["a", "b"]], columns=["text", "text"]))


def test_languages_stand_beside_texts(bundle: Bundle, rows: list[dict[str, Any]]) -> None:
    texts, languages = [row["text"] for row in rows], [row["language"] for row in rows]
    expected = polyvigil.score(bundle, rows).select(FILLED)
    assert bundle.decide(texts, languages).select(FILLED) == expected
    lang = pd.DataFrame({"text": texts, "lang": "fa"})
    assert bundle.decide(lang, np.array(languages))["language"].tolist() == languages
    theirs = [{"text": text, "language": "fa"} for text in texts]
    beside = bundle.decide(theirs, languages)
    assert beside["input_language"].to_pylist() == ["fa"] * len(texts)
    assert beside["language"].to_pylist() == languages
    for wrong in (languages[:-1], [*languages, "de"]):
        with pytest.raises(DataError, match=f"{len(wrong):,} values of language for {len(texts):,} posts"):
            bundle.predict(texts, wrong)


@pytest.mark.parametrize("posts", ["these pills gave me a headache", "-"])
def test_one_text_is_no_list_and_stands_in_no_message(posts: str, bundle: Bundle) -> None:
    with pytest.raises(DataError, match=r"give posts as a list, \[text\]") as raised:
        bundle.predict(posts)
    assert "headache" not in str(raised.value)
    for other in (7, None, np.zeros((2, 2))):
        with pytest.raises(DataError, match="cannot be read as posts"):
            bundle.predict(other)


def test_no_posts_give_empty_arrays_and_tables(bundle: Bundle) -> None:
    assert bundle.predict_proba([]).shape == (0, 2)
    assert bundle.predict([]).shape == (0,)
    assert len(bundle.decide([])) == 0
    assert bundle.explain([]) == []
    p = bundle.predict_proba(["", "these pills gave me a headache"])
    assert p.dtype == np.float64
    assert p[0].tolist() == [1.0, 0.0]
    assert p.sum(axis=1).tolist() == [1.0, 1.0]


@pytest.fixture(scope="module")
def small(corpus: tuple[LabelledPost, ...]) -> dict[str, list[LabelledPost]]:
    """Few English posts of each split."""
    english = [item for item in corpus if item.post.language == "en"]
    return {split: [item for item in english if item.post.split == split][:500] for split in ("train", "dev", "test")}


@pytest.fixture(scope="module")
def unsaved(small: dict[str, list[LabelledPost]]) -> Bundle:
    return polyvigil.train("linear", small["train"], small["dev"])


def test_train_and_tune_give_the_bundles_of_files(
    small: dict[str, list[LabelledPost]], unsaved: Bundle, tmp_path: Path
) -> None:
    for split, posts in small.items():
        write_posts(tmp_path / f"{split}.csv", posts)
    frames = {split: pd.read_csv(tmp_path / f"{split}.csv", keep_default_na=False) for split in small}
    messages: list[str] = []
    of_frames = polyvigil.train(
        LinearRecipe(), frames["train"], frames["dev"], tmp_path / "bundle", log=messages.append
    )
    of_files = polyvigil.train("linear", tmp_path / "train.csv", str(tmp_path / "dev.csv"))
    assert {of_files.id, of_frames.id, unsaved.id} == {of_files.id}
    assert of_frames.folder == tmp_path / "bundle"
    assert messages[0].startswith("learning from 500 posts")
    with pytest.raises(BundleError, match="a bundle stands there already"):
        polyvigil.train("linear", frames["train"], output=tmp_path / "bundle")
    settings = {"decide.rule": "argmax"}
    tuned = polyvigil.tune(tmp_path / "bundle", frames["test"], tmp_path / "tuned", settings=settings)
    assert tuned == polyvigil.tune(unsaved, small["test"], settings=settings)
    assert tuned.policy.spec.rule == "argmax"
    assert tuned.policy.thresholds["en"].posts == 500
    assert tuned.manifest.members == of_frames.manifest.members
    with pytest.raises(RecipeError, match="members stay as they are"):
        polyvigil.tune(unsaved, settings={"model.C": 2})
    comparison = polyvigil.compare(of_frames, tmp_path / "tuned", frames["test"])
    assert comparison.verdict


def test_settings_are_checked_as_on_the_command_line(small: dict[str, list[LabelledPost]]) -> None:
    with pytest.raises(RecipeError, match=r"model\.D: there is no such setting; did you mean"):
        polyvigil.train("linear", small["train"], settings={"model.D": np.float64(2)})
    with pytest.raises(RecipeError, match="there are no posts to learn from"):
        polyvigil.train("linear")
    with pytest.raises(RecipeError, match="no recipe is called 'linaer'"):
        polyvigil.train("linaer", small["train"])


def test_rows_set_aside_are_warned_of(small: dict[str, list[LabelledPost]]) -> None:
    rows = [
        {"text": item.post.text, "label": "maybe" if n == 4 else item.label} for n, item in enumerate(small["train"])
    ]
    with pytest.raises(DataError, match="train:5: column \"label\": 'maybe' is not 0 or 1"):
        polyvigil.train("linear", rows)
    with pytest.warns(polyvigil.DataWarning, match="1 rows set aside: train:5: column \"label\": 'maybe'"):
        bundle = polyvigil.train("linear", rows, on_error="quarantine", settings={"data.dev_share": 0.5})
    assert sum(threshold.posts for threshold in bundle.policy.thresholds.values()) > 150


def test_evaluate_gives_the_metrics_of_the_file(
    bundle: Bundle, bundle_folder: Path, rows: list[dict[str, Any]], test_posts: list[LabelledPost], tmp_path: Path
) -> None:
    _write(tmp_path / "test.csv", rows)
    of_file = polyvigil.evaluate(bundle_folder, tmp_path / "test.csv", by=["type"])
    of_frame = bundle.evaluate(pd.DataFrame(rows), by=["type"])
    assert of_frame.model_copy(update={"data": "test.csv"}) == of_file
    assert of_frame.slices
    assert of_frame.dev_comparison
    flags = bundle.predict(pd.DataFrame(rows))
    assert of_frame.pooled.tp == sum(flags[n] for n, item in enumerate(test_posts) if item.label)
    assert bundle.evaluate().same_set
    with pytest.raises(DataError, match="nothing can be measured"):
        bundle.evaluate([row["text"] for row in rows])


def test_explain_gives_the_records_of_the_file(bundle: Bundle, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    _write(tmp_path / "posts.csv", rows[:60])
    (tmp_path / "drugs.csv").write_text("term\nibuprofen\nsertraline\n", encoding="utf-8")
    explained = tmp_path / "explained.jsonl"
    terms = terms_of(drugs=tmp_path / "drugs.csv", reactions="")
    explain_file(bundle, str(tmp_path / "posts.csv"), str(explained), ExplainOptions(terms=terms))
    lines = [json.loads(line) for line in explained.read_text(encoding="utf-8").splitlines()]
    records = bundle.explain(pd.DataFrame(rows[:60]), drugs=tmp_path / "drugs.csv")
    assert json.loads(json.dumps(records)) == lines
    flagged = polyvigil.explain(bundle, rows[:60], flagged_only=True)
    assert [record["id"] for record in flagged] == [record["id"] for record in records if record["decision"]]


def test_a_bundle_is_shown_short_and_escaped(bundle_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "<b>bold"
    shutil.copytree(bundle_folder, folder)
    bundle = polyvigil.load(folder)
    assert repr(bundle) == f"<Bundle {bundle.id}: linear; {', '.join(bundle.policy.thresholds)}; {folder}>"
    page = bundle._repr_html_()
    assert "&lt;b&gt;bold<" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 1 + len(bundle.policy.thresholds)


def test_an_unsaved_bundle_stands_in_a_temporary_folder_until_it_is_saved(
    unsaved: Bundle, small: dict[str, list[LabelledPost]], tmp_path: Path
) -> None:
    assert unsaved.folder is None
    assert "not saved" in repr(unsaved)
    with pytest.raises(
        BundleError, match=r"a bundle that is not saved cannot be pickled; first: bundle = bundle\.save"
    ):
        pickle.dumps(unsaved)
    saved = unsaved.save(tmp_path / "bundle")
    assert saved == unsaved
    assert saved.folder == tmp_path / "bundle"
    with pytest.raises(BundleError, match="a bundle stands there already"):
        unsaved.save(tmp_path / "bundle")
    unsaved.save(tmp_path / "bundle", replace=True)
    further = polyvigil.tune(unsaved)
    files = further.files
    assert files.is_dir()
    del further
    assert not files.exists()
    loaded = store.load(tmp_path / "bundle")
    assert polyvigil.evaluate(loaded, small["test"]).bundle == saved.id
    with pytest.raises(BundleError, match="its folder is not known"):
        polyvigil.tune(loaded)


@pytest.fixture(scope="module")
def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows[:100]]


def test_a_saved_bundle_is_pickled_by_its_folder(bundle: Bundle, texts: list[str], tmp_path: Path) -> None:
    expected = bundle.predict_proba(texts).tobytes()
    assert len(pickle.dumps(bundle)) < 1000
    assert pickle.loads(pickle.dumps(bundle)).predict_proba(texts).tobytes() == expected
    joblib.dump(bundle, tmp_path / "bundle.joblib")
    assert joblib.load(tmp_path / "bundle.joblib").predict_proba(texts).tobytes() == expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(bundle.predict_proba, (texts,)).tobytes() == expected


def test_a_pickle_refuses_another_bundle_in_its_folder(bundle: Bundle, unsaved: Bundle, tmp_path: Path) -> None:
    pickled = pickle.dumps(bundle.save(tmp_path / "bundle"))
    unsaved.save(tmp_path / "bundle", replace=True)
    with pytest.raises(BundleError, match="when it was pickled"):
        pickle.loads(pickled)


def test_eight_threads_give_equal_bytes(bundle: Bundle, texts: list[str]) -> None:
    def work(_: int) -> bytes:
        table = bundle.decide(texts, evidence=True)
        return pickle.dumps(table.to_pydict()) + bundle.predict_proba(texts).tobytes()

    expected = work(0)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(work, range(16))) == {expected}
