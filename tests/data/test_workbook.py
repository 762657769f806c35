"""Workbooks: which sheet is read, what its cells become, and what is said."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter  # type: ignore[import-untyped]

from polyvigil.config.data import DataSpec
from polyvigil.data.formats import Row, RowError, Table, open_table
from polyvigil.data.read import read_labelled
from polyvigil.errors import DataError


def _book(path: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"remove_timezone": True}) as book:
        dates = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                for column, cell in enumerate(row):
                    if isinstance(cell, datetime):
                        sheet.write_datetime(number, column, cell, dates)
                    elif cell is not None:
                        sheet.write(number, column, cell)
    path.write_bytes(out.getvalue())
    return path


def _rows(path: Path, **settings: Any) -> tuple[list[Row | RowError], Table]:
    with open_table(path, DataSpec.model_validate(settings)) as table:
        return list(table.rows), table


POSTS = [("id", "text", "label"), (1, "no sleep at all", 1), (2, "picked it up today", 0)]


def test_the_sheet_with_text_and_label_is_read_and_said(tmp_path: Path) -> None:
    notes = [("About this file",), ("text: what patients wrote",)]
    terms = [("sentences", "term"), ("no sleep at all", "insomnia")]
    path = _book(tmp_path / "posts.xlsx", Read_me=notes, Terms=terms, Labels=POSTS, Empty=[])
    reading = read_labelled(path, DataSpec(language="en"))
    assert [(item.post.id, item.post.text, item.label) for item in reading.posts] == [
        ("1", "no sleep at all", 1),
        ("2", "picked it up today", 0),
    ]
    assert any("sheet 'Labels' of 'Read_me', 'Terms', 'Labels', 'Empty'" in note for note in reading.notes)
    rows, _ = _rows(path, sheet="Terms")
    assert [row.cells.get("term") for row in rows] == ["insomnia"]
    with pytest.raises(DataError, match="there is no sheet 'Other'"):
        _rows(path, sheet="Other")


def test_titles_types_and_empty_columns(tmp_path: Path) -> None:
    day = datetime(2026, 5, 4)
    sheet = [
        ("Posts of May",),
        (),
        ("id", "text", "day", "share", None),
        (7, "hello", day, 0.25),
        (8, "bye", None, 2.0),
        (9, "a", None, None, "more"),
    ]
    rows, table = _rows(_book(tmp_path / "posts.xlsx", Sheet=sheet))
    assert table.columns == ("id", "text", "day", "share")
    assert dict(rows[0].cells) == {"id": 7, "text": "hello", "day": "2026-05-04", "share": 0.25}
    assert dict(rows[1].cells) == {"id": 8, "text": "bye", "day": None, "share": 2}
    assert isinstance(rows[2], RowError)
    assert rows[2].cells["cell 5"] == "more"
    assert [row.line for row in rows] == [4, 5, 6]


def test_ids_that_excel_has_shortened_are_said(tmp_path: Path) -> None:
    path = _book(tmp_path / "posts.xlsx", Sheet=[("id", "text"), (1294030472427835393, "hello")])
    assert any("over 15 digits" in note for note in _rows(path)[1].notes)


def test_an_empty_workbook_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty: not even a header"):
        _rows(_book(tmp_path / "posts.xlsx", Sheet=[]))
