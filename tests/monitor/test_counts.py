"""Scored files to counts: against a dictionary that counts by hand, and what is refused."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.review.made import scored_row, write_rows

from polyvigil.errors import DataError
from polyvigil.monitor.counts import LENGTH_EDGES, SCORE_EDGES, CellCounts, CountOptions, count_file

WEEK = CountOptions(week="2026-W12")
TEXTS = ("took it", "took it", "TOOK it!", "почувствовал боль", "頭が痛い", "头痛", "12 :)", "x" * 500, "one\ntwo")
SCRIPTS = {
    "took it": "Latin",
    "TOOK it!": "Latin",
    "почувствовал боль": "Cyrillic",
    "頭が痛い": "Japanese",
    "头痛": "Han",
}


def made_rows(draw: Sequence[tuple[Any, ...]]) -> list[dict[str, str]]:
    return [
        scored_row(
            number,
            p,
            language=language,
            text=text,
            source=source,
            posted=f"2026-03-{day:02d}",
            **({"flags": flags} if flags else {}),
        )
        for number, (p, language, text, source, day, flags) in enumerate(draw)
    ]


def twin(rows: Sequence[dict[str, str]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The counts of each week, language and source, one row after another."""
    cells: dict[tuple[str, str, str], dict[str, Any]] = {}
    seen = set()
    for row in rows:
        week = "2026-W10" if row["posted"] < "2026-03-09" else "2026-W11"
        one = cells.setdefault(
            (week, row["language"], row["source"]),
            {"rows": 0, "posts": 0, "flagged": 0, "abstained": 0, "untrained": 0, "duplicates": 0, "p": [], "of": []}
            | {"scripts": Counter(), "scores": [0] * 12, "lengths": [0] * 10},
        )
        one["rows"] += 1
        if "no_text" in row["flags"]:
            continue
        p, text = float(row["p_calibrated"]), row["text"]
        one["posts"] += 1
        one["flagged"] += row["decision"] == "1"
        one["abstained"] += "abstained" in row["flags"]
        one["untrained"] += "language_not_trained" in row["flags"]
        key = (row["language"], "took it" if text.lower().startswith("took") else text)
        one["duplicates"] += key in seen
        seen.add(key)
        one["p"].append(p)
        one["of"] += [p] if row["decision"] == "1" else []
        one["scores"][sum(p >= edge for edge in SCORE_EDGES)] += 1
        one["lengths"][sum(len(text) >= edge for edge in LENGTH_EDGES)] += 1
        one["scripts"][SCRIPTS.get(text, "Latin" if any(map(str.isalpha, text)) else "none")] += 1
    return cells


ROWS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from((0.0, 1.0, *SCORE_EDGES)), st.floats(0, 1).map(lambda p: float(f"{p:.6g}"))),
        st.sampled_from(("en", "ru", "ja")),
        st.sampled_from(TEXTS),
        st.sampled_from(("forum", "tweet", "")),
        st.integers(2, 15),
        st.sampled_from(("", "", "abstained;language_not_trained", "no_text:empty", "language_detected")),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_counts_are_those_of_a_dictionary(tmp_path: Path, drawn: list[tuple[Any, ...]]) -> None:
    rows = made_rows(drawn)
    file = count_file(str(write_rows(tmp_path / "scored.csv", rows)), options=CountOptions(date="posted"))
    expected = twin(rows)
    assert [(cell.week, cell.language, cell.source) for cell in file.cells] == sorted(expected)
    for cell in file.cells:
        one = expected[cell.week, cell.language, cell.source]
        for name in ("rows", "posts", "flagged", "abstained", "untrained", "duplicates"):
            assert getattr(cell, name) == one[name], name
        assert cell.scores == tuple(one["scores"])
        assert cell.lengths == tuple(one["lengths"])
        assert cell.scripts == dict(one["scripts"])
        assert cell.p_sum == math.fsum(one["p"])
        assert cell.p_squares == math.fsum(p * p for p in one["p"])
        assert cell.p_flagged == math.fsum(one["of"])
    assert file.posts == sum(one["posts"] for one in expected.values())


def test_the_order_of_the_rows_moves_nothing(tmp_path: Path) -> None:
    rows = [scored_row(n, (n * 37 % 101) / 101, language=("en", "de")[n % 2]) for n in range(200)]
    first, second = (
        count_file(str(write_rows(tmp_path / f"{number}.csv", some)), options=WEEK)
        for number, some in enumerate((rows, rows[::-1]))
    )
    assert first.cells == second.cells
    assert first.sha256 != second.sha256


def refused(tmp_path: Path, rows: Sequence[dict[str, str]], options: CountOptions = WEEK) -> DataError:
    with pytest.raises(DataError) as error:
        count_file(str(write_rows(tmp_path / "scored.csv", rows)), options=options)
    return error.value


@pytest.mark.parametrize(
    ("cells", "column", "message"),
    [
        ({"bundle": "b2"}, "bundle", "'b2' has scored this row; the rows before it are of 'b1'"),
        ({"bundle": "../etc"}, "bundle", "is no id of a bundle"),
        ({"bundle": ""}, "bundle", "is no id of a bundle"),
        ({"p_calibrated": "1.5"}, "p_calibrated", "is not a number from 0 to 1"),
        ({"p_calibrated": "nan"}, "p_calibrated", "is not a number from 0 to 1"),
        ({"decision": "0.5"}, "decision", "0.5 is not 0 or 1"),
        ({"source": "I took it and felt so dizzy that I fell"}, "source", "(a value of 39 characters) names no source"),
        ({"source": "all"}, "source", "'all' names no source"),
        ({"language": "I took it and felt so dizzy that I fell"}, "language", "names no language"),
    ],
)
def test_a_row_that_scoring_did_not_write_is_named(
    tmp_path: Path, cells: dict[str, str], column: str, message: str
) -> None:
    rows = [scored_row(n, 0.1, source="forum") for n in range(5)]
    error = refused(tmp_path, [*rows, rows[0] | cells])
    assert message in error.message
    assert f'column "{column}"' in error.message
    assert error.where.endswith("scored.csv:7")
    assert error.hint
    assert "dizzy" not in str(error)


def test_the_bundle_that_was_named_must_have_scored_every_row(tmp_path: Path) -> None:
    error = refused(tmp_path, [scored_row(1, 0.1)], CountOptions(week="2026-W12", bundle="b" * 16))
    assert error.message.endswith(f"'b1' has scored this row; the bundle named is '{'b' * 16}'")


@pytest.mark.parametrize("cell", ["", "03/04/2026", "2026-13-01"])
def test_a_row_without_a_date_is_named(tmp_path: Path, cell: str) -> None:
    rows = [scored_row(n, 0.1, created_at="2026-03-18") for n in range(3)]
    error = refused(tmp_path, [*rows, rows[0] | {"created_at": cell}], CountOptions())
    assert error.message == f'column "created_at": {cell!r} is no date'
    assert error.where.endswith("scored.csv:5")


def test_something_must_say_of_which_week_posts_are(tmp_path: Path) -> None:
    assert "--week 2026-W12" in refused(tmp_path, [scored_row(1, 0.1)], CountOptions()).hint
    missing = refused(tmp_path, [scored_row(1, 0.1)], CountOptions(date="when"))
    assert "no column 'when'" in missing.message


def test_a_column_of_authors_is_no_column_of_sources(tmp_path: Path) -> None:
    error = refused(tmp_path, [scored_row(n, 0.1, source=f"author{n}") for n in range(80)])
    assert "has over 50 different values" in error.message
    assert error.where.endswith(":52")


def test_a_source_for_all_rows_gives_way_to_a_column(tmp_path: Path) -> None:
    def sources(rows: list[dict[str, str]], source: str) -> set[str]:
        path = str(write_rows(tmp_path / "scored.csv", rows))
        return {cell.source for cell in count_file(path, options=CountOptions(week="2026-W12", source=source)).cells}

    assert sources([scored_row(1, 0.1)], "") == {""}
    assert sources([scored_row(1, 0.1)], "forum") == {"forum"}
    assert sources([scored_row(1, 0.1, type="tweet")], "") == {"tweet"}
    assert sources([scored_row(1, 0.1, type="tweet")], "forum") == {"forum"}
    assert sources([scored_row(1, 0.1, source="blog"), scored_row(2, 0.1, source="")], "forum") == {"blog", "forum"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("id,text\n1,hello\n", encoding="utf-8")
    with pytest.raises(DataError, match="is no output of polyvigil score"):
        count_file(str(tmp_path / "posts.csv"), options=WEEK)
    with pytest.raises(DataError, match="no such file"):
        count_file(str(tmp_path / "absent.csv"), options=WEEK)
    with pytest.raises(DataError, match="known by its hash"):
        count_file("-", options=WEEK)
    header = write_rows(tmp_path / "empty.csv", [scored_row(1, 0.1)])
    header.write_text(header.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no posts"):
        count_file(str(header), options=WEEK)


def test_counts_that_do_not_add_up_are_no_counts() -> None:
    good = {
        **{"week": "2026-W12", "language": "en", "source": "", "rows": 2, "posts": 1, "flagged": 1, "abstained": 0},
        **{"untrained": 0, "duplicates": 0, "p_sum": 0.5, "p_squares": 0.25, "p_flagged": 0.5},
        **{"scores": (1, *[0] * 11), "lengths": (1, *[0] * 9), "scripts": {"Latin": 1}},
    }
    CellCounts.model_validate(good)
    wrongs: list[dict[str, Any]] = [
        *({"posts": 2}, {"rows": 0}, {"flagged": 2}, {"scores": (1,) * 12}, {"p_sum": float("inf")}, {"p_sum": 1.5}),
        *({"p_sum": 0.2}, {"p_squares": 0.6}, {"rows": 10**400}, {"week": "2026-W99"}, {"week": "x"}),
        *({"language": ""}, {"language": "all"}, {"source": "all"}, {"source": "I took it and felt so very dizzy"}),
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError):
            CellCounts.model_validate(good | wrong)


def test_no_text_and_no_id_is_kept(tmp_path: Path) -> None:
    rows = [scored_row(f"secret-id-{n}", 0.4, text=f"secret words {n}") for n in range(9)]
    file = count_file(str(write_rows(tmp_path / "scored.csv", rows)), options=WEEK)
    assert "secret" not in "".join(cell.model_dump_json() for cell in file.cells)
    with (tmp_path / "scored.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == file.posts == 9
