"""HTML is undone exactly: against html.unescape, a slow twin, and a table of what posts hold; in linear time."""

from __future__ import annotations

import html
import random
import time
from html.entities import html5
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.text import html as undoing
from polyvigil.text.html import holds_html, html_changes, undo_html
from polyvigil.types import LabelledPost

SPACES = " \t\n\r\f\v"
BOOLEANS = set(undoing._BOOLEAN.split())
ELEMENTS = set(undoing._ALWAYS.split())
WITH_ATTRIBUTES = set(undoing._WITH_ATTRIBUTES.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # entities
        ("I&#39;m", "I'm"),
        ("fish &amp; chips", "fish & chips"),
        ("&amp;amp; &amp;lt;b&amp;gt;", "&amp; &lt;b&gt;"),  # one pass
        ("&lt;b&gt;", "<b>"),  # and what it makes is not read again
        ("&uuml;bel caf&eacute;&nbsp;x", "übel café\xa0x"),
        ("&#x1F600;&#128512;", "😀😀"),
        ("&#0; &#1;&#x7f; &#55357; &#1114112; &#128;", "\ufffd  \ufffd \ufffd €"),
        ("&#00000000000039; &#" + "9" * 5000 + ";", "' \ufffd"),
        ("don&#39t, 3 &lt 4 &amp", "don't, 3 < 4 &"),
        ("a?x=1&copy=2&amp=3 &ampx &notit; R&D Q&A; & && &; &# &#x; &x;", None),
        ("&Amp; &nosuch; &ltx", None),
        ("&AMP; &NotEqualTilde;", "& \u2242\u0338"),
        # tags
        ("I&#39;m <b>dizzy</b>", "I'm  dizzy "),
        ("line<br>line<BR/>line<br />.", "line line line ."),
        ('<a href="https://t.co/x" title="x > y">y</a\n>', " y "),
        ("<a href='x'title='y'target=_blank hidden>y", " y"),
        ('<a href=\\"https://x.y\\">y', " y"),
        ("<img src=x alt='<3'/><td nowrap>", "  "),
        ("<o:p></o:p><![if !supportLists]>x<![endif]><!DOCTYPE html>", "   x  "),
        ("<link rel=x></time><link><time><TITLE>", "  <link><time><TITLE>"),
        ("<3 </3 x<y y>z a < b a <b, c> >_< <- <-- <> </> <!> <b", None),
        ("dose a<b and c>d; <p and q>; <b = 3>; <b 3>", None),
        ("<user> in <pi>, <url>, <bx>, <b:x>, < b>, </ b>", None),
        ('<a href="x>y</a', None),
        ('<a href="x""><b"> <b <i>', '<a href="x""><b"> <b  '),
        ("<ſpan> <\u212abd>", None),  # letters that only Unicode takes for s and K
        # what HTML hides
        ("a<!-- b <i> --> c <!----> d <!--> e <!---> f --!> g", "a  c   d   e   f --!> g"),
        ("a <!-- b <i>c</i>", "a <!-- b  c "),
        ("a<SCRIPT type=x>if (a<b) {'<i>'}</script >b<style>p{}</style>c", "a b c"),
        ("a<script>b<style>c<script>d", "a b c d"),
        ("a</script>b</style>c", "a b c"),
    ],
)
def test_what_is_undone(text: str, expected: str | None) -> None:
    assert undo_html(text) == (text if expected is None else expected)
    assert holds_html(text) == (expected is not None)
    assert slow_twin(text) == undo_html(text)


def test_entities_are_those_of_the_library() -> None:
    numbers = [*range(0x2200), *range(0xD7F0, 0xE010), *range(0xFDC0, 0x10100), *range(0x10FFF0, 0x110010)]
    for entity in [*(f"&{name}" for name in html5 if name.endswith(";")), *(f"&#{n};" for n in numbers)]:
        assert undo_html(f"x{entity}y") == html.unescape(f"x{entity}y")
    for number in numbers[::7]:
        assert undo_html(f"&#x{number:X}") == undo_html(f"&#X00{number:x};") == html.unescape(f"&#{number};")


NO_HTML = st.text(st.sampled_from("ab 3.;#=x'\"/!-é日😀\n"), max_size=60)
PARTS = st.sampled_from(
    [
        *("&", "<", ">", "</", "/>", "<b", "b>", "<b>", "<!--", "-->", "--!>", "<script>", "</script>"),
        *("<style", "#39", "amp", "lt;", "&amp;", "&lt", "&#", "x41", ";", "=", '"', "'", "\\", "hidden"),
        *("<time", "<user>", "a", "3", "é", "\0", "<br/>", "title='", 'alt="', "</time>", "<![endif]>", "ſ"),
        *(" ", "\n", "\u2028", "<a href", "<!doctype "),
    ]
)
ANY_HTML = st.lists(PARTS, max_size=40).map("".join)


@settings(max_examples=1500, deadline=None)
@given(ANY_HTML)
def test_it_equals_the_slow_twin(text: str) -> None:
    assert undo_html(text) == slow_twin(text)
    changes = list(html_changes(text))
    assert all(text[change.start] in "&<" and change.start < change.end <= len(text) for change in changes)
    assert all(left.end <= right.start for left, right in pairwise(changes))
    assert holds_html(text) == bool(changes)


@settings(max_examples=300)
@given(NO_HTML, NO_HTML)
def test_escaped_text_comes_back(before: str, after: str) -> None:
    """Whatever is escaped is undone to itself, and tags between are a space."""
    text = before + "&<>'\"<b>&amp;" + after
    assert undo_html(html.escape(text)) == text
    assert undo_html(f"{html.escape(before)}<i class='x>y'>{html.escape(after)}") == f"{before} {after}"


def test_posts_without_html_are_left_alone(corpus: tuple[LabelledPost, ...]) -> None:
    for item in corpus[::3]:
        assert undo_html(item.post.text) == slow_twin(item.post.text)
        assert undo_html(html.escape(item.post.text)) == item.post.text


HOSTILE = (
    *("<", "&", "&amp;", "&amp", "<b", "<b>", "<a x", '<a b="', "<a b='", "<a b=\"<a c='\" d='", "<!--", "<script>"),
    *("</script", "<style></style", "&#", "&#1", "<br ", "<a b=", '<a b="" ', "-->", "<!--><", "<![if ", "<b\n\n"),
    *("&" + "a" * 40, "<td nowrap ", "<a y=\"<a z='\" y=' w=\" q='", "<!doctype", "</b "),
)


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """1 MB in all. A quadratic step would take minutes."""
    started = time.process_time()
    for before, after in (("", ""), ("<script>", ">"), ('<a b="', '">'), ("<!--", "<b>")):
        undo_html(before + unit * (250_000 // len(unit)) + after)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("text", ["<a " * 33_000, "&" * 100_000, "<" * 100_000, "&amp" * 25_000, "<br " * 25_000])
def test_html_is_noticed_in_little_time(text: str) -> None:
    started = time.process_time()
    holds_html(text)
    assert time.process_time() - started < 0.05


def test_random_nesting_of_quotes_equals_the_slow_twin() -> None:
    draw = random.Random(3)
    for _ in range(400):
        text = "".join(draw.choice(['<a b="', "<a b='", '"', "'", " c=", ">", " ", "x"]) for _ in range(40))
        assert undo_html(text) == slow_twin(text)


# ---- the twin: one character at a time, no regular expression, as slow as it likes -----------------------------------


def slow_twin(text: str) -> str:
    made, at = "", 0
    while at < len(text):
        end, new = _entity(text, at) if text[at] == "&" else _tag(text, at) if text[at] == "<" else (0, "")
        made += new if end else text[at]
        at = end or at + 1
    return made


def _run(text: str, at: int, letters: str) -> int:
    while at < len(text) and text[at] in letters:
        at += 1
    return at


LETTERS = "abcdefghijklmnopqrstuvwxyz"
LETTERS += LETTERS.upper()
DIGITS = "0123456789"


def _entity(text: str, at: int) -> tuple[int, str]:
    """Where the entity at ``at`` ends, and what it stands for; 0 for none."""
    if text[at + 1 : at + 2] == "#":
        is_hex = text[at + 2 : at + 3] in ("x", "X")
        start = at + 2 + is_hex
        end = _run(text, start, DIGITS + ("abcdefABCDEF" if is_hex else ""))
        if end == start:
            return 0, ""
        digits = text[start:end].lstrip("0") or "0"
        number = int(digits, 16 if is_hex else 10) if len(digits) < 10 else 0x110000
        return end + (text[end : end + 1] == ";"), html.unescape(f"&#{number};")
    end = _run(text, at + 1, LETTERS + DIGITS)
    if text[end : end + 1] == ";":
        name = text[at + 1 : end + 1]
        return (end + 1, html5[name]) if name in html5 else (0, "")
    name = text[at + 1 : end]
    if name.lower() in {"amp", "lt", "gt", "quot", "nbsp"} and name in html5 and text[end : end + 1] != "=":
        return end, html5[name]
    return 0, ""


def _tag(text: str, at: int) -> tuple[int, str]:
    """Where what begins with the ``<`` at ``at`` ends, which becomes a space; 0 where it is none."""
    rest = text[at + 1 :]
    if rest.startswith("!--"):
        ends = [place + len(mark) for mark in ("-->", "--!>") if (place := text.find(mark, at + 2)) >= 0]
        return (min(ends), " ") if ends else (0, "")
    if rest.lower().startswith(("!doctype", "![")):
        return _declaration(text, at)
    closing = rest.startswith("/")
    start = at + 1 + closing
    end = _run(text, start, LETTERS + DIGITS + ":")
    name = text[start:end].lower()
    if name not in ELEMENTS | WITH_ATTRIBUTES | {"script", "style"}:
        return 0, ""
    if closing:
        end = _run(text, end, SPACES)
        return (end + 1, " ") if text[end : end + 1] == ">" else (0, "")
    if text[end : end + 1] not in {*SPACES, "/", ">"}:
        return 0, ""
    end, attributes = _attributes(text, end)
    end = _run(text, end, SPACES)
    end += text[end : end + 1] == "/"
    end = _run(text, end, SPACES)
    if text[end : end + 1] != ">" or (name in WITH_ATTRIBUTES and not attributes):
        return 0, ""
    if name in {"script", "style"}:
        return _hidden(text, end + 1, name), " "
    return end + 1, " "


def _hidden(text: str, start: int, name: str) -> int:
    for place in range(start, len(text)):
        if text[place : place + 2 + len(name)].lower() == f"</{name}":
            end = _run(text, place + 2 + len(name), SPACES)
            if text[end : end + 1] == ">":
                return end + 1
    return start


def _attributes(text: str, at: int) -> tuple[int, int]:
    """Where the attributes end that begin at ``at``, and how many there are."""
    count = 0
    while True:
        start = _run(text, at, SPACES)
        end = start
        while end < len(text) and text[end] not in SPACES + "\"'<>/=":
            end += 1
        equals = _run(text, end, SPACES)
        if end > start and text[equals : equals + 1] == "=":
            at = _value(text, _run(text, equals + 1, SPACES))
        elif text[start:end].lower() in BOOLEANS and text[end : end + 1] in {*SPACES, "/", ">"}:
            at = end
        else:
            return at, count
        count += 1


def _value(text: str, at: int) -> int:
    quote = at + (text[at : at + 1] == "\\")
    if text[quote : quote + 1] in {'"', "'"} and (end := text.find(text[quote], quote + 1)) >= 0:
        return end + 1
    while at < len(text) and text[at] not in SPACES + "\"'<>":
        at += 1
    return at


def _declaration(text: str, at: int) -> tuple[int, str]:
    rest = text[at:].lower()
    for opening, closing, forbidden in (("<!doctype", ">", "<>"), ("<![if", "]>", "]<>")):
        end = at + len(opening)
        if rest.startswith(opening) and _run(text, end, LETTERS + DIGITS + "_") == end:
            while end < len(text) and text[end] not in forbidden:
                end += 1
            if text.startswith(closing, end):
                return end + len(closing), " "
    return (at + len("<![endif]>"), " ") if rest.startswith("<![endif]>") else (0, "")
