"""Cells that a spreadsheet would run: protected, and as they were again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.data.protection import protected, unprotected


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("\uff1dSUM(1)", "'\uff1dSUM(1)"),
        ("\tx", "'\tx"),
        ("+49 170", "'+49 170"),
        ("'=own", "''=own"),
        ("-1.5e3", "-1.5e3"),
        ("'-5", "'-5"),
        ("'quoted'", "'quoted'"),
        ("plain = text", "plain = text"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_would_run_is_protected(cell: str, written: str) -> None:
    assert protected(cell) == written
    assert unprotected(written) == cell


@given(st.text(st.sampled_from("'=+-@5a\t\r＝ "), max_size=6))
def test_every_cell_comes_back(cell: str) -> None:
    assert unprotected(protected(cell)) == cell
    assert protected(cell)[:1] not in tuple("=@\t\r＝")
