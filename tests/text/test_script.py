"""The scripts of many texts at once are those of each by itself."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text.script import SCRIPTS, alphabet, common_letters, main_script, main_scripts

LETTERS = "".join(alphabet(script)[:30] for script in SCRIPTS) + "ሀကა0 ,🙂\u0301\ud800"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.text(LETTERS, max_size=12), st.text(max_size=12)), max_size=12))
def test_many_texts_at_once(texts: list[str]) -> None:
    assert main_scripts(texts) == [main_script(text) for text in texts]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abcABCàÀßİΣσςабвАБ漢字のノ ١", max_size=9), max_size=9), st.integers(1, 5))
def test_common_letters_are_those_of_a_counter(texts: list[str], most: int) -> None:
    for script, pattern in SCRIPTS.items():
        expected = Counter(letter for text in texts for letter in pattern.findall(text.lower()))
        assert common_letters(iter(texts), script, most=most) == [letter for letter, _ in expected.most_common(most)]


def test_common_letters_of_many_texts() -> None:
    """More than are counted together; equal ones in the order of their first text."""
    texts = ["z"] * 1500 + ["yx"] * 1500 + ["w", "xY"]
    assert common_letters(texts, "Latin", most=9) == ["y", "x", "z", "w"]
    assert common_letters(texts[::-1], "Latin", most=2) == ["x", "y"]


def test_the_beginning_of_a_long_text_counts() -> None:
    texts = ["", "а" * 2000 + "b" * 9000, "漢" * 30 + "か", "漢" * 30, "ሀ", "…", "ab" + "а" * 2]
    assert main_scripts(texts) == [main_script(text) for text in texts]
    assert main_scripts(texts) == ["none", "Cyrillic", "Japanese", "Han", "other", "none", "Latin"]
