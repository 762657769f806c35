"""Entities and tags of HTML are told from arrows, hearts and the placeholders of the shared task."""

from __future__ import annotations

import time

import pytest

from polyvigil.text.html import holds_html


@pytest.mark.parametrize(
    "text",
    [
        "fish &amp; chips",
        "it&#39;s",
        "a&nbsp;b",
        "line<br>line",
        "<p>x</p>",
        '<a href="https://t.co/x">y</a>',
        "&uuml;bel",
    ],
)
def test_html_is_seen(text: str) -> None:
    assert holds_html(text)


@pytest.mark.parametrize("text", ["x < 3 and y > 2", "<user> in <pi>", "R&D; Q&A;", "a < b>", "<b", "&"])
def test_other_signs_are_left_alone(text: str) -> None:
    assert not holds_html(text)


@pytest.mark.parametrize("text", ["<a " * 33_000, "&" * 100_000, "<" * 100_000, "&amp" * 25_000, "<br " * 25_000])
def test_hostile_text_takes_little_time(text: str) -> None:
    started = time.process_time()
    holds_html(text)
    assert time.process_time() - started < 0.05
