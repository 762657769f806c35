"""Delimited text: what a quote that never closes costs, and that every line is part of one row or one row error."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import map_columns
from polyvigil.data.delimited import Broken, Records
from polyvigil.data.dialect import Dialect
from polyvigil.data.formats import Row, RowError, open_table
from polyvigil.errors import DataError


def _rows(tmp_path: Path, content: str, *, name: str = "posts.csv", **settings: object) -> list[Row | RowError]:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    with open_table(path, DataSpec.model_validate(settings)) as table:
        return list(table.rows)


def _plain(number: int) -> str:
    return f"{number},this is post {number},{number % 2}\n"


PLAIN = "".join(map(_plain, range(100, 110)))


@pytest.mark.parametrize(
    ("line", "n_rows"),
    [
        ('1,"never closed,0\n', 20),
        ('1,"closes in the next row,0\n2,by accident",1\n', 21),
        ('1,"quoted" and more,0\n', 20),
        ('1,"a ""doubled"" one that never closes,0\n', 20),
    ],
)
def test_a_broken_quote_costs_its_own_lines_alone(tmp_path: Path, line: str, n_rows: int) -> None:
    """The other rows of the file are quoted, so quotes are quoting."""
    quoted = '7,"hello, there",1\n'
    rows = _rows(tmp_path, "id,text,label\n" + quoted + PLAIN + line + PLAIN)
    good = [row for row in rows if isinstance(row, Row)]
    bad = [row for row in rows if isinstance(row, RowError)]
    assert len(good) == n_rows + 1
    assert [row.cells.get("line") for row in bad] == line.splitlines()[:1]


def test_quotes_are_characters_in_a_csv_that_quotes_nothing(tmp_path: Path) -> None:
    rows = _rows(
        tmp_path, 'id,text,label\n1,"Seroquel" makes me sleepy,1\n2,my mum said "try it",0\n3,"never closed,0\n'
    )
    assert [row.cells.get("text") for row in rows] == [
        '"Seroquel" makes me sleepy',
        'my mum said "try it"',
        '"never closed',
    ]


def test_backslash_escapes_are_read(tmp_path: Path) -> None:
    rows = _rows(tmp_path, 'id,text,label\n1,"she said \\"no\\", twice",1\n2,"fine, thanks",0\n')
    assert [row.cells.get("text") for row in rows] == ['she said "no", twice', "fine, thanks"]


def test_quoting_none_reads_each_line_as_it_is(tmp_path: Path) -> None:
    rows = _rows(tmp_path, 'id,text,label\n1,"a",1\n2,"b,0\n', quoting="none")
    assert [row.cells.get("text") for row in rows] == ['"a"', '"b']


def test_a_multi_line_text_of_one_row_stays_one_row(tmp_path: Path) -> None:
    prose = "first, second\n\nthird line, more\nand, so, on"
    rows = _rows(tmp_path, f'id,text,label\n{PLAIN}1,"{prose}",1\n{PLAIN}')
    assert [row.cells.get("text") for row in rows].count(prose) == 1
    assert all(isinstance(row, Row) for row in rows)


def test_a_lone_carriage_return_is_part_of_its_text(tmp_path: Path) -> None:
    rows = _rows(tmp_path, "id,text,label\n1,one\rtwo,1\n2,three,0\n")
    assert [row.cells.get("text") for row in rows] == ["one\rtwo", "three"]


def test_excel_s_empty_columns_and_an_index_column(tmp_path: Path) -> None:
    rows = _rows(tmp_path, ",text,label,,\n0,hello,1,,\n1,bye,0,,\n")
    assert [dict(row.cells) for row in rows] == [
        {"index": "0", "text": "hello", "label": "1"},
        {"index": "1", "text": "bye", "label": "0"},
    ]


def test_row_names_of_r(tmp_path: Path) -> None:
    rows = _rows(tmp_path, '"text","label"\n"1","hello, you",1\n"2","bye",0\n')
    assert [row.cells.get("text") for row in rows] == ["hello, you", "bye"]


def test_a_file_without_a_header(tmp_path: Path) -> None:
    rows = _rows(tmp_path, "1;hello, you;1\n2;bye;0\n", header=False)
    assert [dict(row.cells) for row in rows] == [
        {"1": "1", "2": "hello, you", "3": "1"},
        {"1": "2", "2": "bye", "3": "0"},
    ]


def test_a_missing_header_is_named_and_its_posts_are_not(tmp_path: Path) -> None:
    secret = "since the tablets I cannot sleep at all any more"
    path = tmp_path / "posts.csv"
    path.write_text(f"7,{secret},1\n2,{secret},0\n")
    with open_table(path) as table, pytest.raises(DataError, match="--no-header") as caught:
        map_columns(table.columns, DataSpec(), required=("text",), where=table.name)
    assert "tablets" not in str(caught.value) + (caught.value.hint or "")


def test_one_column_of_posts_with_commas(tmp_path: Path) -> None:
    rows = _rows(tmp_path, "text\nhello, you\nbye\nand, so, on\n")
    assert [row.cells.get("text") for row in rows] == ["hello, you", "bye", "and, so, on"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delimiter": "ab"}, "'ab' cannot stand between cells"),
        ({"delimiter": '"'}, "cannot stand between cells"),
        ({"encoding": "klingon"}, "unknown encoding 'klingon'"),
        ({"encoding": "rot13"}, "is no encoding of text"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _rows(tmp_path, "id,text\n1,a\n", **settings)


CELLS = st.text(st.sampled_from('ab1 ",;\t\n\r\\é😀'), max_size=12)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8))
def test_quoted_text_is_read_as_the_csv_module_reads_it(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    records = Records(io.StringIO(out.getvalue(), newline="\n"), Dialect(",", "minimal"), None)
    assert [cells for _, cells in records if cells != ["\x1a"]] == [row for row in rows if row]


@settings(max_examples=600, deadline=None)
@given(st.text(st.sampled_from('ab1",;\n\r\\ \x1aé'), max_size=120), st.sampled_from(["minimal", "none", "backslash"]))
def test_every_line_is_part_of_one_record(text: str, quoting: str) -> None:
    """Of any text: the lines that records begin on go up, and the last record ends with the last line."""
    dialect = Dialect(",", quoting)  # type: ignore[arg-type]
    records = Records(io.StringIO(text, newline="\n"), dialect, None)
    lines = [line for line, cells in records if isinstance(cells, Broken) or cells]
    assert lines == sorted(set(lines))
    assert records.lines_done == len(io.StringIO(text, newline="\n").readlines())


def test_rows_far_longer_than_the_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    prose = "\n".join(["a line of prose, with a comma"] * 200)
    path.write_text(f'id,text,label\n{PLAIN}1,"{prose}",1\n{PLAIN}')
    with open_table(path) as table:
        assert len(list(table.rows)) == 21
        (note,) = table.late_notes()
    assert note.startswith(f"{path}: rows far longer than the others: 200 lines from line 12; if a quote")
