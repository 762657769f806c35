"""The sentences that explain a word that users meet, from the one place where they stand: the pages of ``help/``.

In comes a word, as ``p_calibrated`` or ``same set``, or a question of a newcomer. Out goes the first paragraph below
its heading, without markup. ``--help``, the lines that commands print, the report and the site, which has the pages,
thus say the same. Raises KeyError for a word that no page explains.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

TOPICS = ("columns", "metrics", "questions")
"""Topics whose entries are words and questions; each has its heading once."""

_LINK = re.compile(r"!?\[([^]]*)]\([^)]*\)")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_CODE = re.compile(r"`([^`]+)`")
_SEVERAL_WORDS = re.compile(r"^[\w.-]+ [^'\"]*$")


def page(topic: str) -> str:
    """A page of help, as Markdown."""
    return (files("polyvigil") / "help" / f"{topic}.md").read_text(encoding="utf-8")


def plain(text: str) -> str:
    """A text without the signs of Markdown; code of several words stands in quotes."""
    text = _BOLD.sub(r"\1", _LINK.sub(r"\1", text)).replace("\\|", "|")
    return _CODE.sub(lambda code: f"'{code[1]}'" if _SEVERAL_WORDS.search(code[1]) else code[1], text)


def meaning(word: str) -> str:
    """What a word means, or the answer to a question: one short paragraph on one line."""
    return _meanings()[word]


def meanings(*words: str) -> list[str]:
    """A line for each word: ``p: what the model believes ...``; a question ends without a colon."""
    return [f"{word} {meaning(word)}" if word.endswith("?") else f"{word}: {meaning(word)}" for word in words]


@cache
def _meanings() -> dict[str, str]:
    result: dict[str, str] = {}
    for topic in TOPICS:
        for part in re.split(r"^#{2,3} ", page(topic), flags=re.MULTILINE)[1:]:
            title, _, text = part.partition("\n")
            paragraph = text.strip().split("\n\n", maxsplit=1)[0]
            result.setdefault(plain(title), plain(" ".join(paragraph.split())))
    return result
