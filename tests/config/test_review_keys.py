"""Keys of the review pages from a user's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvigil.config.review_keys import ReviewKeys, read_review_keys
from polyvigil.errors import RecipeError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_the_file_does_not_name_stays(tmp_path: Path) -> None:
    keys = read_review_keys(written(tmp_path, '\ufeffade = "F"\nunsure = "ы"\n'))
    assert keys == ReviewKeys(ade="F", unsure="ы")
    assert {key: action for key, action in keys.actions().items() if action in {"ade", "unsure", "help"}} == {
        "f": "ade",
        "ы": "unsure",
        "?": "help",
    }
    assert set(keys.actions().values()) == set(ReviewKeys.model_fields)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('ada = "f"', "there is no action 'ada'", "did you mean ade?"),
        ("ade = 1", "ade: 1 is no key in quotes", 'as in ade = "f"'),
        ('ade = "F1"', "ade: 'F1' is not one character", "keep theirs"),
        ('ade = " "', "ade: ' ' is not one character", "keep theirs"),
        ('ade = "X"', "not_ade and ade have one key, 'x'", "give the other action one too"),
        ("ade = f", "no file of keys", 'ade = "f"'),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=r"keys\.toml") as caught:
        read_review_keys(written(tmp_path, text))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no file of keys"):
        read_review_keys(tmp_path / "absent.toml")
