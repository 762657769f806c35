"""Parquet to Parquet: types, the index and the types of pandas, moments that Python does not have."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.data.formats import open_table
from polyvigil.data.read import read_unlabelled
from polyvigil.scoring.batch import score_file, score_files
from polyvigil.scoring.engine import ThisProcess

MOMENT = 1_736_439_884_000_000_123
COLUMNS = {
    "timestamp": pa.array([MOMENT, None], pa.timestamp("ns", "Europe/Berlin")),
    "far": pa.array([2**62, None], pa.timestamp("us")),
    "day": pa.array([dt.date(2025, 1, 9), None]),
    "far_day": pa.array([2**30, None], pa.date32()),
    "duration": pa.array([123_456_789, None], pa.duration("ns")),
    "decimal": pa.array([decimal.Decimal("1.5"), None], pa.decimal256(50, 2)),
    "bytes": pa.array([b"\xff\xfe", None], pa.large_binary()),
    "lists": pa.array([[1, 2], None], pa.large_list(pa.int32())),
    "nested": pa.array([[{"a": 1, "b": {"c": "x"}}], None]),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "category": pa.array(["a", "b"]).dictionary_encode(),
    "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
    "half": pa.array([0.5, None], pa.float16()),
    "nothing": pa.nulls(2),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_of_parquet_is_kept(bundle: Bundle, tmp_path: Path, name: str) -> None:
    table = pa.table({"text": ["pills", "more"], "language": ["en", "en"], "x": COLUMNS[name]})
    pq.write_table(table, tmp_path / "i.parquet")
    stored = pq.read_table(tmp_path / "i.parquet").column("x")
    score_file(bundle, str(tmp_path / "i.parquet"), str(tmp_path / "o.parquet"))
    assert pq.read_table(tmp_path / "o.parquet").column("x").equals(stored)
    for ending in ("jsonl", "csv", "xlsx"):
        assert score_file(bundle, str(tmp_path / "i.parquet"), str(tmp_path / f"o.{ending}")).posts == 2


def test_the_index_and_the_types_of_pandas_are_kept(bundle: Bundle, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "text": ["pills", "more pills", "most pills"],
            "n": pd.array([1, None, 3], dtype="Int64"),
            "kind": pd.Categorical(["b", "a", "b"], categories=["b", "a"], ordered=True),
            "p": [0.1, 0.2, 0.3],
        },
        index=pd.Index(["t1", "t2", "t3"], name="tweet_id"),
    )
    frame.to_parquet(tmp_path / "i.parquet")
    score_file(bundle, str(tmp_path / "i.parquet"), str(tmp_path / "o.parquet"))
    scored = pd.read_parquet(tmp_path / "o.parquet")
    pd.testing.assert_frame_equal(scored[["text", "n", "kind"]], frame[["text", "n", "kind"]])
    pd.testing.assert_series_equal(scored["input_p"], frame["p"], check_names=False)
    assert scored["p"].between(0, 1).all()
    frame.iloc[::-1].to_parquet(tmp_path / "j.parquet")
    both = [str(tmp_path / name) for name in ("i.parquet", "j.parquet")]
    score_files(ThisProcess(bundle), both, str(tmp_path / "both.parquet"))
    assert list(pd.read_parquet(tmp_path / "both.parquet").index) == ["t1", "t2", "t3", "t3", "t2", "t1"]
    pq.write_table(pa.table({"text": ["pills"], "kind": [1]}), tmp_path / "k.parquet")
    score_files(ThisProcess(bundle), [both[0], str(tmp_path / "k.parquet")], str(tmp_path / "mixed.parquet"))
    assert pq.read_table(tmp_path / "mixed.parquet").column("tweet_id").to_pylist() == ["t1", "t2", "t3", None]


def test_an_index_without_a_name_is_the_id(bundle: Bundle, tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["pills", "more pills"], "language": "en"}, index=[17, 4])
    frame.to_parquet(tmp_path / "i.parquet")
    assert [post.id for post in read_unlabelled(tmp_path / "i.parquet").posts] == ["17", "4"]
    score_file(bundle, str(tmp_path / "i.parquet"), str(tmp_path / "o.parquet"))
    assert list(pd.read_parquet(tmp_path / "o.parquet").index) == [17, 4]
    frame["post_id"] = ["a", "b"]
    frame.to_parquet(tmp_path / "j.parquet")
    assert [post.id for post in read_unlabelled(tmp_path / "j.parquet").posts] == ["a", "b"]


def test_bytes_are_text_where_they_are_utf8(bundle: Bundle, tmp_path: Path) -> None:
    table = pa.table({"text": [b"pills \xf0\x9f\x98\x80"], "raw": [b"\xff\xfe"], "in": [[b"x"]], "language": ["en"]})
    pq.write_table(table, tmp_path / "i.parquet")
    for name in ("o.jsonl", "o.csv"):
        score_file(bundle, str(tmp_path / "i.parquet"), str(tmp_path / name))
        with open_table(tmp_path / name) as opened:
            (row,) = [dict(row.cells) for row in opened.rows]
        assert (row["text"], row["raw"]) == ("pills 😀", "//4=")
        assert row["in"] == ["x"] if name == "o.jsonl" else json.loads(row["in"]) == ["x"]
