"""What nobody sees in a post becomes a labelled piece; what a script needs stays; no character is lost."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.text.mentions import Mention, Term
from polyvigil.text.visible import is_hidden, parts, visible


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a\u202eb", ["U+202E"]),
        ("a\u200bb\u200bc", ["U+200B", "U+200B"]),
        ("a\u200b\u200b\u200bb", ["U+200B ×3"]),
        ("nul\0", ["U+0000"]),
        ("tag\U000e0041", ["U+E0041"]),
        ("soft\u00adhyphen", ["U+00AD"]),
        ("filler\u3164", ["U+3164"]),
        ("می\u200cخورم", []),  # Persian: the joiner is spelling
        ("a\u200cb", ["U+200C"]),
        ("می\u200c ", ["U+200C"]),
        ("👩\u200d⚕️ ok", []),
        ("👩🏽\u200d🔬", []),
        ("x\u200dy", ["U+200D"]),
        ("क्\u200dष", []),
        ("\u0600", []),
        ("line\nbreak\tand\r\nwindows", []),
    ],
)
def test_hidden_characters_have_a_label(text: str, labels: list[str]) -> None:
    assert [part.text for part in parts(text) if part.kind == "hidden"] == labels


def test_the_span_is_marked_around_a_hidden_character() -> None:
    pieces = parts("ab\u202ecd", (1, 4))
    assert [(part.kind, part.text, part.marked) for part in pieces] == [
        ("text", "a", False),
        ("text", "b", True),
        ("hidden", "U+202E", True),
        ("text", "c", True),
        ("text", "d", False),
    ]
    assert pieces[2].name == "right-to-left override"


def test_terms_of_a_list_are_marked_beside_the_span() -> None:
    text = "Took ibupro\u00adfen\r\nand had a rash"
    terms = [Mention(5, 15, Term("ibuprofen", "drug", "M01AE01")), Mention(27, 31, Term("rash", "reaction"))]
    assert [(part.text, part.name, part.marked, part.term) for part in parts(text, (13, 31), terms)] == [
        ("Took ", "", False, ""),
        ("ibupro", "M01AE01", False, "drug"),
        ("U+00AD", "soft hyphen", False, ""),
        ("f", "M01AE01", False, "drug"),
        ("en", "M01AE01", True, "drug"),
        (" \nand had a ", "", True, ""),
        ("rash", "", True, "reaction"),
    ]


@given(st.text())
def test_all_text_is_there_and_nothing_hidden_is_in_it(text: str) -> None:
    shown = "".join(part.text for part in parts(text) if part.kind == "text")
    expected = text.replace("\r\n", " \n").replace("\r", "\n")
    assert shown == "".join(character for i, character in enumerate(expected) if not is_hidden(expected, i))
    assert not any(unicodedata.category(character) == "Cc" for character in shown if character not in "\n\t")


def test_cells_show_a_replacement() -> None:
    assert visible("a\u202eb\x1bc") == "a\ufffdb\ufffdc"
    assert visible(3) == 3
