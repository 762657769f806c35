"""The alignment: its text is the normalised one, and behind every character stands what it was made from."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text.align import align
from polyvigil.text.html import html_changes
from polyvigil.text.normalise import FIRST_NORMALISATION, NORMALISATION, NORMALISATIONS, model_text
from polyvigil.types import LabelledPost

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
NASTY = st.text(
    st.sampled_from(
        "a ا\u0301\u0323\u200c\u200d\u202e\0\ud800👩👨\ufe0f🏽क़\u0958가각각か\u3099\u09c7\u09be\u0f73İ\n\r@<>h:/"
    ),
    max_size=80,
)


HTML = st.lists(
    st.sampled_from(
        [
            *("&amp;", "&#39;", "&lt;", "<b>", "</b>", "<br/>", "<!--", "-->", "<script>", "</script>"),
            *("&#769;", "e", "&#0;", "&#1;", "&nbsp;", "a", "&NotEqualTilde;", "<user>", "@me"),
            *("http://a.b", "<3", "&#x200d;", "👩", "&", "<", "x<y", "&#104;ttp://q", "&#64;"),
            *("&ctdot;", "...", "\u0301", "\ud800", "\0", " ", "\n", "<a href='x>y'>"),
        ]
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@settings(max_examples=600, deadline=None)
@given(text=st.one_of(ANY_TEXT, NASTY, HTML))
def test_it_is_the_model_s_text_in_order(normalisation: str, text: str) -> None:
    found = align(text, normalisation)
    assert found.text == model_text(text, normalisation)
    assert found.starts.shape == found.ends.shape == (len(found.text),)
    assert (found.starts < found.ends).all()
    assert (np.diff(found.starts) >= 0).all()
    assert (np.diff(found.ends) >= 0).all()
    assert found.ends.max(initial=0) <= len(text)
    for made, start, end in zip(found.text, found.starts.tolist(), found.ends.tolist(), strict=True):
        if end - start == 1 and text[start].isascii() and text[start].isprintable():
            assert made == text[start]


@settings(max_examples=600, deadline=None)
@given(HTML)
def test_no_entity_and_no_tag_is_broken(text: str) -> None:
    """Behind a character stands all of an entity or a tag or nothing of it, and what was undone alone stands for it."""
    found = align(text, NORMALISATION)
    for change in html_changes(text):
        inside = (found.starts < change.end) & (found.ends > change.start)
        assert (found.starts[inside] <= change.start).all()
        assert (found.ends[inside] >= change.end).all()
        exact = inside & (found.starts == change.start) & (found.ends == change.end)
        if exact.any() and change.new.isalpha():
            assert "".join(np.array([*found.text])[exact]) == change.new


def test_random_strings_of_all_planes_and_the_sample_corpus(corpus: tuple[LabelledPost, ...]) -> None:
    draw = random.Random(7)
    texts = ["".join(chr(draw.randrange(0x110000)) for _ in range(draw.randrange(80))) for _ in range(2000)]
    for text in [*texts, *(item.post.text for item in corpus[::5])]:
        assert align(text).text == model_text(text)
        assert align(text, NORMALISATION).text == model_text(text, NORMALISATION)


@pytest.mark.parametrize(
    ("text", "made", "source"),
    [
        ("see https://t.co/abc now", "[URL]", "https://t.co/abc"),
        ("hi @bob_1 there", "@USER", "@bob_1"),
        ("in <pi> today", "[PLACE]", "<pi>"),
        ("sooooo bad", "oo", "ooooo"),
        ("cafe\u0301 noir", "é", "e\u0301"),
        ("か\u3099く", "が", "か\u3099"),
        ("a\r\n \tb", " ", "\r\n \t"),
        ("x\ud800y", "\ufffd", "\ud800"),
        ("\u1100\u1161\u11a8 \u200f", "각", "\u1100\u1161\u11a8"),
        ("head\u00adache", "headache", "head\u00adache"),
        ("a\u202eb", "ab", "a\u202eb"),
        ("👩\u200d👧 می\u200cشود", "👩\u200d👧 می\u200cشود", "👩\u200d👧 می\u200cشود"),
    ],
)
def test_alignment_of_replacements(text: str, made: str, source: str) -> None:
    for normalisation in NORMALISATIONS:
        found = align(text, normalisation)
        at = found.text.index(made)
        assert text[found.starts[at] : found.ends[at + len(made) - 1]] == source


@pytest.mark.parametrize(
    ("text", "made", "source"),
    [
        ("I&#39;m ill", "'", "&#39;"),
        ("I&#39;m ill", "m ill", "m ill"),
        ("so <b>dizzy</b> now", "dizzy", "dizzy"),
        ("so <b>dizzy</b> <i>now</i>", " now", "</b> <i>now"),
        ("so<br>\n<br/>ill", " ", "<br>\n<br/>"),
        ("caf&eacute;s", "cafés", "caf&eacute;s"),
        ("cafe&#769; noir", "é", "e&#769;"),
        ("a &amp;amp; b", "&amp;", "&amp;amp;"),
        ("go &#64;bob_1 there", "@USER", "&#64;bob_1"),
        ("see http://a.b?c=1&amp;d=2<br>x", "[URL]", "http://a.b?c=1&amp;d=2"),
        ("&#33;&#33;&#33;&#33; ok", "!!", "&#33;&#33;&#33;&#33;"),
        ("a<script>b</script>c", " ", "<script>b</script>"),
        ("&lt;user&gt; hi", "@USER", "&lt;user&gt;"),
        ("head&shy;ache", "headache", "head&shy;ache"),
        ("1 <!-- 2 --> 3", " 3", " <!-- 2 --> 3"),
    ],
)
def test_alignment_of_undone_html(text: str, made: str, source: str) -> None:
    found = align(text, NORMALISATION)
    at = found.text.index(made)
    assert text[found.starts[at] : found.ends[at + len(made) - 1]] == source
    as_before = align(text, FIRST_NORMALISATION)
    assert as_before.text == model_text(text)


def test_values_are_distributed_over_their_source() -> None:
    text = " hi @bob_1 e\u0301!!!!!\r\n"
    found = align(text)
    values = np.random.default_rng(0).normal(size=len(found.text))
    spread = found.distribute(values, length=len(text))
    assert spread.shape == (len(text),)
    assert spread.sum() == pytest.approx(values.sum(), abs=1e-12)
    handle = found.text.index("@USER")
    assert spread[4:10] == pytest.approx([values[handle : handle + 5].sum() / 6] * 6)
    assert spread[0] == spread[-1] == 0
    assert align("").distribute(np.empty(0), length=0).shape == (0,)


@pytest.mark.parametrize(
    "unit",
    [
        *("a\u0301\u0323", "\u0301", "@a ", "https://a ", "a\u200c", " \n", "aaab", "か\u3099", "\ud800"),
        *("&#769;", "<b>", "&amp;", "<", "&", "<!--", "<a b='"),
    ],
)
def test_hostile_text_is_aligned(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    found = align(text, NORMALISATION)
    assert found.text == model_text(text, NORMALISATION)
    assert found.distribute(np.ones(len(found.text)), length=len(text)).sum() == pytest.approx(len(found.text))
