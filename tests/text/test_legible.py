"""Sentences, pieces and words of a post with HTML are those a reader sees, as spans of the post as it was written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text.html import html_changes, undo_html
from polyvigil.text.legible import LegibleText
from polyvigil.text.normalise import FIRST_NORMALISATION, NORMALISATION
from polyvigil.text.sentences import Span, pieces, sentences, units

TEXT = (
    '<p title="Hi. Ho.">I took caf&eacute; &amp; milk.</p><!-- no. --><br>'
    "My <b>head</b> isn&#39;t well!! &lt;3 &#33; Ok"
)
HTML = st.lists(
    st.sampled_from(
        [
            *("I took it. ", "bad! ", "薬だ。", "&#39;", "&eacute;", "<br>", "<p title='a. b'>", "</p>", "<!-- x. -->"),
            *("&#1;", "&NotEqualTilde;", ", ", "x<y ", "&amp;", "\n", "a", " ", "<script>a. b</script>", "&#46; "),
        ]
    ),
    max_size=25,
).map("".join)


def test_what_a_reader_sees_of_a_post() -> None:
    text = LegibleText.of(TEXT, NORMALISATION)
    parts = [TEXT[slice(*span)] for span in text.sentences()]
    assert parts == [
        '<p title="Hi. Ho.">I took caf&eacute; &amp; milk.</p><!-- no. --><br>',
        "My <b>head</b> isn&#39;t well!! ",
        "&lt;3 &#33; ",
        "Ok",
    ]
    assert [TEXT[slice(*text.trimmed(span))] for span in text.sentences()] == [
        "I took caf&eacute; &amp; milk.",
        "My <b>head</b> isn&#39;t well!!",
        "&lt;3 &#33;",
        "Ok",
    ]
    words = "I took caf&eacute; milk My head isn t well 3 Ok"
    assert " ".join(TEXT[slice(*unit)] for unit in text.units()) == words
    visible = "".join(c for c, is_seen in zip(TEXT, text.visible().tolist(), strict=True) if is_seen)
    assert visible == "Itookcaf&eacute;&amp;milk.Myheadisn&#39;twell!!&lt;3&#33;Ok"


@pytest.mark.parametrize("text", [TEXT, "", " ", "One. Two, three.\n\nFour", "薬を飲んだ。眠れない"])
def test_the_first_normalisation_sees_html_as_text(text: str) -> None:
    legible = LegibleText.of(text, FIRST_NORMALISATION)
    assert legible.sentences() == sentences(text)
    assert legible.pieces(most=5) == pieces(text, most=5)
    assert legible.units() == list(units(text))
    assert legible.visible().tolist() == [not character.isspace() for character in text]


@settings(max_examples=500, deadline=None)
@given(HTML)
def test_spans_cover_the_post_and_cut_nothing(text: str) -> None:
    legible = LegibleText.of(text, NORMALISATION)
    for spans in (legible.sentences(), legible.pieces(most=4)):
        assert "".join(text[slice(*span)] for span in spans) == text
        assert _cuts_nothing(text, spans)
        assert "".join(undo_html(text[slice(*span)]) for span in spans) == undo_html(text)
    assert _cuts_nothing(text, legible.units())
    for span in legible.sentences():
        trimmed = legible.trimmed(span)
        assert span.start <= trimmed.start <= trimmed.end <= span.end
        assert undo_html(text[slice(*trimmed)]) == undo_html(text[slice(*span)]).strip()


def _cuts_nothing(text: str, spans: Sequence[Span]) -> bool:
    edges = {edge for span in spans for edge in span}
    return not any(edges & set(range(change.start + 1, change.end)) for change in html_changes(text))
