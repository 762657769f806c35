"""The scripts of many texts at once are those of each by itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text.script import SCRIPTS, alphabet, main_script, main_scripts

LETTERS = "".join(alphabet(script)[:30] for script in SCRIPTS) + "ሀကა0 ,🙂\u0301\ud800"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.text(LETTERS, max_size=12), st.text(max_size=12)), max_size=12))
def test_many_texts_at_once(texts: list[str]) -> None:
    assert main_scripts(texts) == [main_script(text) for text in texts]


def test_the_beginning_of_a_long_text_counts() -> None:
    texts = ["", "а" * 2000 + "b" * 9000, "漢" * 30 + "か", "漢" * 30, "ሀ", "…", "ab" + "а" * 2]
    assert main_scripts(texts) == [main_script(text) for text in texts]
    assert main_scripts(texts) == ["none", "Cyrillic", "Japanese", "Han", "other", "none", "Latin"]
