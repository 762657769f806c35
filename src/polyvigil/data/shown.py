"""What a message may show of a file: names, labels, ids and languages, but nothing that may be the text of a post.

In a file without a header the names of columns are a post; in a shifted row a post stands where a label was meant. So a
name or a value is shown where it is short and of few words; otherwise only its length is.
"""

from __future__ import annotations

import regex

_LONGEST = 40  # characters
_MOST_WORDS = 4  # of a name, or of a value that stands in several rows
_MOST_WORDS_OF_ONE = 2  # of a value that may stand in one row alone
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_MOST_UNSPACED = 8  # letters of scripts that put no space between words


def is_showable(value: str, *, most_words: int = _MOST_WORDS) -> bool:
    """Whether a name or a value is too short, and of too few words, to be the text of a post."""
    if len(value) > _LONGEST or len(value.split()) > most_words or not value.isprintable():
        return False
    return len(_UNSPACED.findall(value)) <= _MOST_UNSPACED


def shown_name(column: str) -> str:
    """The name of a column for messages, quoted; of one that may be a post, in a file without a header, its length."""
    return repr(column) if is_showable(column) else f"(a name of {len(column):,} characters)"


def shown_column(column: str) -> str:
    """``column "text"`` for messages; of a name that may be a post only its length."""
    return f'column "{column}"' if is_showable(column) else f"column {shown_name(column)}"


def shown_value(value: str) -> str:
    """A label, language or id for messages, quoted; of one that may be a post, in a shifted row, its length."""
    return (
        repr(value) if is_showable(value, most_words=_MOST_WORDS_OF_ONE) else f"(a value of {len(value):,} characters)"
    )


def shown_word(value: str) -> str:
    """A label or a split that stands in several rows, as it is; of one that may be a post its length."""
    return value if is_showable(value) else f"(a value of {len(value):,} characters)"
