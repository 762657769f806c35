"""A user's lists of terms: what is read, and errors that name file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvigil.data.terms import read_ingredients, read_terms
from polyvigil.errors import DataError
from polyvigil.text.mentions import Term


def _file(folder: Path, text: str, name: str = "drugs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_terms_and_codes(tmp_path: Path) -> None:
    path = _file(tmp_path, 'Term,code,more\n Aspirin ,B01,x\n"co-trimoxazole, oral",,\nASPIRIN,B01,\nロキソニン,M01,\n')
    assert read_terms(path, kind="drug") == (
        Term("Aspirin", "drug", "B01"),
        Term("co-trimoxazole, oral", "drug"),
        Term("ロキソニン", "drug", "M01"),
    )
    plain = _file(tmp_path, '{"term": "nausea", "code": 10028813}\n', "r.jsonl")
    assert read_terms(plain, kind="reaction") == (Term("nausea", "reaction", "10028813"),)
    assert read_terms(_file(tmp_path, "term\nnausea\n"), kind="reaction") == (Term("nausea", "reaction"),)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("name,code\na,1\n", "", "no column term"),
        ("term,code\n", "", "holds no terms"),
        ("term,code\naspirin,1\n,2\n", ":3", 'column "term": empty'),
        ("term,code\n...,2\n", ":2", 'column "term": no letter or digit'),
        ("term,code\naspirin,1\nx,2\nAspirin,3\n", ":4", 'column "code": the term of line 2 again, with another code'),
        ("term,code\na,b,c\n", ":2", "3 cells where the header has 2"),
    ],
)
def test_a_bad_list_is_refused_with_file_line_and_column(tmp_path: Path, text: str, where: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_terms(path, kind="drug")
    assert caught.value.where == f"{path}{where}"
    assert caught.value.message == message
    assert caught.value.hint


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_terms(tmp_path / "none.csv", kind="drug")


def test_drugs_and_their_ingredients(tmp_path: Path) -> None:
    path = _file(tmp_path, "term,code,ingredient\nLipitor,C10, atorvastatin \nTylenol PM,,\nLIPITOR,,atorvastatin\n")
    assert read_ingredients(path) == (Term("Lipitor", "drug", "atorvastatin"), Term("Tylenol PM", "drug"))
    by_name = _file(tmp_path, '{"Name": "ロキソニン", "Ingredient": "loxoprofen"}\n', "r.jsonl")
    assert read_ingredients(by_name) == (Term("ロキソニン", "drug", "loxoprofen"),)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("drug,ingredient\na,b\n", "", "no column term"),
        ("term,code\na,1\n", "", "no column ingredient"),
        ("name,ingredient\n", "", "holds no terms"),
        ("name,ingredient\nLipitor,\n", "", "holds no ingredients"),
        ("name,ingredient\na,b\n,c\n", ":3", 'column "name": empty'),
        ("term,ingredient\na,b\nA,c\n", ":3", 'column "ingredient": the term of line 2 again, with another ingredient'),
        (f"term,ingredient\na,{'b' * 201}\n", ":2", 'column "ingredient": longer than 200 characters'),
    ],
)
def test_a_bad_list_of_ingredients_is_refused(tmp_path: Path, text: str, where: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_ingredients(path)
    assert (caught.value.where, caught.value.message) == (f"{path}{where}", message)
    assert "a column ingredient" in str(caught.value.hint) or ":" in where
