"""Slices by the values of a column, against scikit-learn; which columns are refused; what is shown of values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from polyvigil.config.data import DataSpec
from polyvigil.data.read import Reading, read_labelled
from polyvigil.errors import DataError
from polyvigil.evaluation import intervals
from polyvigil.evaluation.columns import columns_to_slice
from polyvigil.evaluation.slices import MOST_VALUES, Column, Outcomes, column_slices, short_name
from polyvigil.text.language import is_cadec


def _outcomes(random: np.random.Generator, posts: int, languages: Sequence[str]) -> Outcomes:
    probabilities = np.round(random.random(posts), 2)  # with ties
    return Outcomes(
        labels=random.integers(0, 2, posts).astype(np.int8),
        languages=random.choice(languages, posts).astype(np.str_),
        flags=probabilities > random.random(),
        probabilities=probabilities,
    )


def test_slices_equal_scikit_learn_on_200_random_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals.average_precision_interval, "__kwdefaults__", {"rounds": 2})  # not what is tested
    random = np.random.default_rng(21)
    compared = 0
    for _ in range(200):
        posts = int(random.integers(1, 60))
        outcomes = _outcomes(random, posts, ["en", "ru", "de_cadec"])
        cells = random.choice(["", "tweet", "review"], posts).astype(np.str_)
        result = column_slices(Column("kind", cells), outcomes)
        assert sum(part.metrics.posts for part in result.languages) == posts
        parts = (*result.languages, *result.pooled)
        for part in (parts[number] for number in random.choice(len(parts), min(3, len(parts)), replace=False)):
            mask = cells == ("" if part.metrics.name == "(none)" else part.metrics.name)
            if part.language != "pooled":
                mask &= outcomes.languages == part.language
            elif not all(map(is_cadec, outcomes.languages[mask].tolist())):
                mask &= outcomes.languages != "de_cadec"
            labels, flags, metrics = outcomes.labels[mask], outcomes.flags[mask], part.metrics
            expected = (
                *precision_recall_fscore_support(labels, flags, average="binary", zero_division=0)[:3],
                average_precision_score(labels, outcomes.probabilities[mask]) if labels.any() else 0.0,
            )
            values = (metrics.precision, metrics.recall, metrics.f1, metrics.average_precision)
            assert values == pytest.approx(expected, abs=1e-12)
            assert (metrics.posts, metrics.positives) == (mask.sum(), labels.sum())
            for value, interval in zip(
                values,
                (
                    metrics.precision_interval,
                    metrics.recall_interval,
                    metrics.f1_interval,
                    metrics.average_precision_interval,
                ),
                strict=True,
            ):
                assert interval.low <= value + 1e-12
                assert value <= interval.high + 1e-12
            compared += 1
    assert compared > 550


def test_more_than_thirty_values_are_grouped() -> None:
    cells = np.array([f"v{number:02d}" for number in range(40) for _ in range(50 - number)], dtype=np.str_)
    outcomes = _outcomes(np.random.default_rng(2), len(cells), ["en"])
    result = column_slices(Column("origin", cells), outcomes)
    names = [part.metrics.name for part in result.pooled]
    assert names == [*(f"v{number:02d}" for number in range(MOST_VALUES)), "(other, 10 values)"]
    assert result.values == 40
    assert result.pooled[-1].metrics.posts == sum(50 - number for number in range(30, 40))
    assert [part.metrics for part in result.languages] == [part.metrics for part in result.pooled]
    one_more = np.array(["x", *(f"v{number}" for number in range(30)), *(f"v{number}" for number in range(30))])
    result = column_slices(Column("o", one_more), _outcomes(np.random.default_rng(2), 61, ["en"]))
    assert result.pooled[-1].metrics.name == "(other, 1 value)"


def test_few_positives_are_marked() -> None:
    labels = np.array([1] * 19 + [0] * 5 + [1] * 20, dtype=np.int8)
    cells = np.array(["few"] * 24 + ["many"] * 20)
    outcomes = Outcomes(labels, np.full(44, "en"), labels == 1, labels.astype(np.float64))
    result = column_slices(Column("c", cells), outcomes)
    assert {part.metrics.name: part.few_positives for part in result.pooled} == {"few": True, "many": False}


def test_long_values_are_shortened_and_stay_distinct() -> None:
    assert short_name("a" * 40) == "a" * 40
    assert short_name("a" * 41) == "a" * 39 + "…"
    assert short_name("two\nlines") == "two lines"
    cells = np.array(["x" * 50 + "1", "x" * 50 + "2", "x" * 50 + "2"])
    outcomes = _outcomes(np.random.default_rng(1), 3, ["en"])
    result = column_slices(Column("c", cells), outcomes)
    assert [(part.metrics.name, part.metrics.posts) for part in result.pooled] == [
        ("x" * 39 + "…", 2),
        ("x" * 39 + "… (2)", 1),
    ]


def _reading(folder: Path, **columns: Sequence[str]) -> Reading:
    """A file of 30 labelled posts with these further columns."""
    path = folder / "posts.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "tweet", "label", "lang", *columns])
        for number in range(30):
            text = f"the pills made me dizzy again {number}"
            writer.writerow([f"p{number}", text, number % 2, "en", *(cells[number] for cells in columns.values())])
    return read_labelled(path)


def test_columns_are_found_by_name_in_any_case_and_by_part(tmp_path: Path) -> None:
    reading = _reading(tmp_path, Kind=["tweet ", ""] * 15, Site=["a", "b", "c"] * 10)
    columns = columns_to_slice(reading, ["kind", "type", "Site"], DataSpec())
    assert [column.name for column in columns] == ["Kind", "Site"]
    assert set(columns[0].cells.tolist()) == {"tweet", ""}
    renamed = columns_to_slice(reading, ["origin"], DataSpec(columns={"origin": "Site"}))
    assert [column.name for column in renamed] == ["Site"]
    assert columns_to_slice(reading, [], DataSpec()) == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", r"posts\.csv: there is no column 'nope' to slice by; it has 'id', 'tweet', 'label', 'lang', 'copy'"),
        (
            "tweet",
            r'column "tweet": cannot be sliced by: it holds the posts, and no text .* another column: .copy., .site',
        ),
        ("text", r'column "tweet": cannot be sliced by: it holds the posts'),
        ("language", r'column "lang": cannot be sliced by: the main table has a row .*; leave --by lang out'),
        ("label", r'column "label": cannot be sliced by: it holds the labels'),
        (
            "id",
            r'column "id": cannot be sliced by: it has 30 distinct values in 30 posts; slice by a column with fewer',
        ),
        ("copy", r'column "copy": cannot be sliced by: 30 of 30 cells repeat the text of their post'),
    ],
)
def test_columns_that_cannot_be_sliced_by_are_refused(tmp_path: Path, name: str, message: str) -> None:
    copy = [f"the pills made me dizzy again {number}"[:24] for number in range(30)]
    reading = _reading(tmp_path, copy=copy, site=["a", "b", "c"] * 10)
    with pytest.raises(DataError, match=message) as error:
        columns_to_slice(reading, [name], DataSpec())
    assert "dizzy" not in str(error.value)


def test_more_than_a_thousand_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    rows = [f"p{number},headache after it {number},{number % 2},en,{number % 1001}" for number in range(3003)]
    path.write_text("id,text,label,language,hour\n" + "\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r'"hour": cannot be sliced by: it has 1,001 distinct values in 3,003 posts'):
        columns_to_slice(read_labelled(path), ["hour"], DataSpec())
