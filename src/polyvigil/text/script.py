"""The writing system of a post, by the letters it holds."""

from __future__ import annotations

import regex

SCRIPTS = {
    "Latin": regex.compile(r"\p{Script=Latin}"),
    "Cyrillic": regex.compile(r"\p{Script=Cyrillic}"),
    "Arabic": regex.compile(r"\p{Script=Arabic}"),
    "Japanese": regex.compile(r"[\p{Script=Hiragana}\p{Script=Katakana}]"),
    "Han": regex.compile(r"\p{Script=Han}"),
    "Hangul": regex.compile(r"\p{Script=Hangul}"),
    "Greek": regex.compile(r"\p{Script=Greek}"),
    "Hebrew": regex.compile(r"\p{Script=Hebrew}"),
    "Devanagari": regex.compile(r"\p{Script=Devanagari}"),
    "Thai": regex.compile(r"\p{Script=Thai}"),
}
"""The scripts that are told apart, each with the pattern of one of its letters."""
_LETTER = regex.compile(r"\p{L}")


def main_script(text: str) -> str:
    """The script most letters of ``text`` belong to, by its Unicode name; ``Japanese`` as soon as kana stand among Han
    letters; ``other`` for a script not listed here, ``none`` without letters. Looks at the first 2,000 characters."""
    text = text[:2000]
    counts = {name: len(pattern.findall(text)) for name, pattern in SCRIPTS.items()}
    if counts["Japanese"]:
        counts["Japanese"] += counts.pop("Han")
    name = max(counts, key=lambda script: counts[script])
    if counts[name]:
        return name
    return "other" if _LETTER.search(text) else "none"
