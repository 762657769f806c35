"""HTML that an export or a scraper left in a post: its entities become characters, its tags a space.

In: a post as it was written. Out: what is replaced by what, in order. One pass is made: ``&amp;lt;`` becomes ``&lt;``.
What is not plainly HTML stays as it is: ``x<y``, ``<3``, ``<user>``, ``R&D``, a tag or a comment that never closes. So
no text is lost but what HTML hides itself: comments, and what stands in ``<script>`` and ``<style>``. Time is linear.

Source: the HTML standard, sections 13.2.5 (tags, comments) and 13.5 (names of entities); html.unescape for numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.entities import html5
from typing import NamedTuple

_ALWAYS = (
    "a abbr acronym applet article aside b basefont bdi bdo bgsound big blink blockquote body br button caption center"
    " cite code col colgroup datalist dd del details dfn dialog dir div dl dt em embed fieldset figcaption figure font"
    " footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd legend li main mark"
    " marquee math menuitem meta nav nobr noembed noframes noscript ol optgroup option o:p p param picture pre q rb rp"
    " rt rtc ruby s samp section select small span strike strong sub summary sup svg table tbody td"
    " template textarea tfoot th thead tr tt u ul var wbr xmp"
)
"""Elements whose tags are undone. ``o:p`` is what a word processor pastes."""
_WITH_ATTRIBUTES = (
    "address area audio base canvas data frame image label link map menu meter object output progress search slot"
    " source time title track video"
)
"""Elements whose bare start tag (``<link>``, ``<time>``) stays: in corpora it stands for what was removed."""
_BOOLEAN = (
    "allowfullscreen async autofocus autoplay checked compact controls default defer disabled download formnovalidate"
    " hidden inert ismap itemscope loop multiple muted nohref nomodule noshade novalidate nowrap open playsinline"
    " readonly required reversed selected"
)
"""Attributes without a value. Other bare words make no tag: in ``dose a<b and c>d`` there is none."""


def _any_of(words: str) -> str:
    """One of the words; grouped by first letter, three times as fast as word by word on text of ``<`` and letters."""
    by_letter: dict[str, list[str]] = {}
    for word in words.split():
        by_letter.setdefault(word[0], []).append(word[1:])
    return "|".join(f"{letter}(?:{'|'.join(rests)})" for letter, rests in by_letter.items())


# A start tag holds no "<" and no stray quote outside of the values of its attributes. That also keeps time linear: of
# the places where an attempt may begin, at most three (outside of a value, in "...", in '...') can run through the same
# characters before they fail.
_ATTRIBUTE = (
    rf"""(?>[^\s"'<>/=]++\s*+=\s*+(?>\\?+"[^"]*+"|\\?+'[^']*+'|[^\s"'<>]*+)|(?:{_any_of(_BOOLEAN)})(?=[\s/>]))"""
)
_ATTRIBUTES = rf"(?>\s*+{_ATTRIBUTE})"
_MARKUP = re.compile(
    rf"""
      (?P<entity>&(?>\#(?>[0-9]++|x[0-9a-f]++);?+|[a-z][a-z0-9]{{1,31}}+;|(?:amp|lt|gt|quot|nbsp)(?![a-z0-9=;])))
    | <(?=[a-z/!])(?:
        (?P<comment>!--)
      | (?:{_any_of(_ALWAYS)})(?=[\s/>]){_ATTRIBUTES}*+\s*+/?+\s*+>
      | (?:{_any_of(_WITH_ATTRIBUTES)})(?=\s){_ATTRIBUTES}++\s*+/?+\s*+>
      | /(?:{_any_of(_ALWAYS)}|{_any_of(_WITH_ATTRIBUTES)}|script|style)\s*+>
      | (?P<hidden>script|style)(?=[\s/>]){_ATTRIBUTES}*+\s*+/?+\s*+>
      | !doctype\b[^<>]*+>
      | !\[(?:if\b[^\]<>]*+|endif)\]>)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_ENDS = {
    "comment": re.compile(r"--!?>"),
    "script": re.compile(r"</script\s*+>", re.IGNORECASE | re.ASCII),
    "style": re.compile(r"</style\s*+>", re.IGNORECASE | re.ASCII),
}
_HIGHEST = 0x10FFFF
_UNKNOWN = "\ufffd"


class Change(NamedTuple):
    """``text[start:end]`` becomes ``new``."""

    start: int
    end: int
    new: str


def holds_html(text: str) -> bool:
    """Whether an entity or a tag of HTML stands in the text: whether ``undo_html`` would change it."""
    return next(html_changes(text), None) is not None


def undo_html(text: str) -> str:
    """The text with its entities as characters, and a space for each tag, comment, script and style sheet."""
    if "&" not in text and "<" not in text:
        return text
    parts: list[str] = []
    at = 0
    for change in html_changes(text):
        parts += (text[at : change.start], change.new)
        at = change.end
    return "".join([*parts, text[at:]]) if parts else text


def html_changes(text: str) -> Iterator[Change]:
    """What ``undo_html`` replaces, in order; no two overlap."""
    if "&" not in text and "<" not in text:
        return
    at = 0
    endless: set[str] = set()  # what is closed nowhere behind here, so that it is looked for once
    while match := _MARKUP.search(text, at):
        at = match.end()
        if match.lastgroup == "entity":
            if (character := _character(match.group())) is not None:
                yield Change(match.start(), at, character)
            continue
        name = (match["hidden"] or match.lastgroup or "").lower()
        if name in _ENDS and name not in endless:
            end = _ENDS[name].search(text, at - 2 if name == "comment" else at)  # <!--> is a whole comment
            if end:
                at = end.end()
            else:
                endless.add(name)
        if name != "comment" or name not in endless:
            yield Change(match.start(), at, " ")


def _character(entity: str) -> str | None:
    """What an entity stands for, empty for a control character; None for a name that HTML does not know."""
    if entity[1] != "#":
        return html5.get(entity[1:])
    number = entity[2:].rstrip(";").lower()
    digits, base = (number[1:], 16) if number[0] == "x" else (number, 10)
    digits = digits.lstrip("0") or "0"
    if len(digits) > len(str(_HIGHEST)) or int(digits, base) > _HIGHEST:
        return _UNKNOWN
    return unescape(f"&#{int(digits, base)};")
