"""What a model reads of a post: HTML undone, Unicode repaired (`clean`), then the steps of the paper (`normalise`).

Posts are stored as they came; `model_text` is what a model reads. A normalisation has a name, which is written into
every bundle, and of which no character of any result ever changes: what a bundle was trained to read it reads for ever.

``gladiators-1``: `clean`, then `normalise`. ``gladiators-2``: text.html.undo_html before them (docs/decisions/0018).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import regex
from numpy.typing import NDArray

from polyvigil.text.html import undo_html
from polyvigil.text.memo import memoised_map

FIRST_NORMALISATION = "gladiators-1"
"""By which posts are recognised: fingerprints, duplicates in files, detected languages. Never another one, so that the
same posts are the same to bundles of all ages."""
NORMALISATION = "gladiators-2"
"""The newest one, by which newly fitted detectors read."""
NORMALISATIONS = (FIRST_NORMALISATION, NORMALISATION)

_CONTROLS = regex.compile(r"[\p{Cc}--\s]|[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]", regex.V1)
_JOINABLE = r"[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}]"
_JOINERS = regex.compile(rf"(?<={_JOINABLE})([\u200c\u200d])[\u200c\u200d]*(?={_JOINABLE})|[\u200c\u200d]+")
_SURROGATE = regex.compile(r"[\ud800-\udfff]")
_MARKS = regex.compile(r"(\p{M}{30})\p{M}+")

_MANY = 500  # texts; for fewer, what _may_change looks up is not worth making

_URL = re.compile(r"https?://\S+")
_MENTION = re.compile(r"@\w+|<user>")
_RUN = re.compile(r"(.)\1\1+", re.DOTALL)
_VISIBLE_WORD = regex.compile(r"[\p{L}\p{N}]")
_PLACEHOLDERS = {
    **dict.fromkeys(("[deleted]", "[removed]", "[deleted by user]", "[removed by reddit]"), "deleted"),
    **dict.fromkeys(("nan", "none", "null", "n/a", "not available", "<na>", "(null)", "(none)"), "missing"),
    **dict.fromkeys(("#ref!", "#n/a", "#value!", "#name?", "#div/0!", "#null!", "#num!"), "spreadsheet_error"),
}
_ASCII_WORD = frozenset(string.ascii_letters + string.digits)
_LONGEST_PLACEHOLDER = max(map(len, _PLACEHOLDERS))
MISSING_TEXT = frozenset(("empty", *_PLACEHOLDERS.values()))
"""The reasons of ``no_text_reason`` that say that there never was a text in the file."""

# The same steps as data, for text.align: what is replaced by what, in the order of clean (NFC after the first four) and
# of normalise (white space last, its ends apart).
CLEANING = ((_SURROGATE, "\ufffd"), (_CONTROLS, ""), (_JOINERS, r"\1"), (_MARKS, r"\1"))
AFTER_NFC = ((_MARKS, r"\1"),)
NORMALISING = (
    (_URL, "[URL]"),
    (_MENTION, "@USER"),
    (re.compile("<pi>"), "[PLACE]"),
    (_RUN, r"\1\1"),
    (re.compile(r"\s\s+|[^\S ]"), " "),
)


def clean(text: str) -> str:
    """Text without what a reader cannot see: the Unicode half of the normalisation. ``clean(clean(x)) == clean(x)``.

    Lone surrogates become U+FFFD; NUL, other control characters and bidirectional overrides go; ZWNJ and ZWJ stay
    between letters (Persian) and inside emoji only; of a pile of combining marks 30 stay (UAX 15, stream-safe
    text); the result is NFC.
    """
    printable = text.isprintable()  # then it holds no control, joiner, override or surrogate
    if printable and text.isascii():
        return text
    if not printable:
        text = replace_lone_surrogates(text)
        text = _CONTROLS.sub("", text)
        text = _JOINERS.sub(r"\1", text)
    text = _MARKS.sub(r"\1", text)  # NFC alone takes quadratic time on a pile of marks
    composed = unicodedata.normalize("NFC", text)
    return text if composed == text else str(_MARKS.sub(r"\1", composed))


def normalise(text: str) -> str:
    """The steps of the paper (Gladiators, SMM4H-HeaRD 2026, section on preprocessing), in its order.

    Links become ``[URL]``; ``@USER___``, ``@handle`` and ``<user>`` become ``@USER``; ``<pi>`` becomes ``[PLACE]``;
    a character repeated three or more times is kept twice; white space collapses. Case and function words stay.
    """
    if "http" in text:
        text = _URL.sub("[URL]", text)
    if "@" in text or "<user>" in text:
        text = _MENTION.sub("@USER", text)
    text = text.replace("<pi>", "[PLACE]")
    if _RUN.search(text):
        text = _RUN.sub(r"\1\1", text)
    return " ".join(text.split())


def model_text(text: str, normalisation: str = FIRST_NORMALISATION) -> str:
    """What a model reads of a stored post, by one of ``NORMALISATIONS``; a detector names its own."""
    return normalise(clean(without_html(text, normalisation)))


def model_texts(texts: Sequence[str], normalisation: str = FIRST_NORMALISATION) -> list[str]:
    """``model_text`` of each, in their order; inside ``text.memo`` of each different one once."""
    return memoised_map(texts, partial(_model_texts, normalisation=normalisation), work=normalisation)


def without_html(text: str, normalisation: str) -> str:
    """The text with its HTML undone where this normalisation does that."""
    return text if normalisation == FIRST_NORMALISATION else undo_html(text)


def _model_texts(texts: Sequence[str], *, normalisation: str) -> list[str]:
    """Of many texts, those that no step can change are recognised by their characters and skipped."""
    if len(texts) < _MANY:
        return [model_text(text, normalisation) for text in texts]
    result: list[str] = []
    for start in range(0, len(texts), _MANY):
        some = texts[start : start + _MANY]
        changing = _may_change(some, normalisation).tolist()
        result += [
            model_text(text, normalisation) if changes else text for text, changes in zip(some, changing, strict=True)
        ]
    return result


def no_text_reason(model_text: str) -> str:
    """Why a normalised post is unreadable: ``empty``, ``url_only``, ``mention_only``, ``no_words``; or ``""``.

    What stands for a text that is gone is none: ``deleted``, ``missing``, ``spreadsheet_error``.
    """
    if not model_text:
        return "empty"
    if reason := placeholder_reason(model_text):
        return reason
    if "[" not in model_text and "@" not in model_text:
        return "" if _VISIBLE_WORD.search(model_text) else "no_words"
    rest = model_text.replace("[URL]", " ")
    if not rest.strip():
        return "url_only"
    rest = rest.replace("@USER", " ").replace("[PLACE]", " ")
    if not rest.strip():
        return "mention_only"
    return "" if _VISIBLE_WORD.search(rest) else "no_words"


def no_text_reasons(model_texts: Sequence[str]) -> list[str]:
    """``no_text_reason`` of each. What begins with a word, as most posts do, has something to read."""
    return [
        "" if text[:1] in _ASCII_WORD and len(text) > _LONGEST_PLACEHOLDER else no_text_reason(text)
        for text in model_texts
    ]


def placeholder_reason(text: str) -> str:
    """Why a text is none but stands for one that is gone: ``deleted`` of [removed], ``missing`` of nan,
    ``spreadsheet_error`` of #REF!; or ``""``."""
    return "" if len(text) > _LONGEST_PLACEHOLDER else _PLACEHOLDERS.get(text.lower(), "")


def replace_lone_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, so that it can be written as UTF-8."""
    return text if text.isascii() else str(_SURROGATE.sub("\ufffd", text))


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_lone_surrogate(text: str) -> bool:
    """Whether the text holds half of a surrogate pair, as broken JSON escapes do."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def _may_change(texts: Sequence[str], normalisation: str) -> NDArray[np.bool_]:
    """False, (n_texts,), only where ``model_text`` returns the text as it is.

    Such a text is of plain characters, with no space at its ends, no two in a row, no ``://`` and nothing three times;
    where HTML is undone, no ``&`` begins an entity.
    """
    combined = " ".join(["", *texts, ""])
    points = np.frombuffer(combined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    is_special = _special_characters().take(points)
    same = points[1:] == points[:-1]
    is_special[1:] |= same & (points[1:] == ord(" "))
    is_special[2:] |= same[1:] & same[:-1]
    is_special[1:] |= (points[1:] == ord("/")) & (points[:-1] == ord(":"))
    if normalisation != FIRST_NORMALISATION and "&" in combined:
        is_letter = (points | 0x20) - ord("a") < 26
        is_special[:-1] |= (points[:-1] == ord("&")) & (is_letter[1:] | (points[1:] == ord("#")))
    ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), dtype=np.int64, count=len(texts)))
    result = np.zeros(len(texts), dtype=bool)
    result[np.searchsorted(ends, np.flatnonzero(is_special))] = True  # the space after a text is the text's
    return result


@cache
def _special_characters() -> NDArray[np.bool_]:
    """False, (0x110000,), of the plain code points: printable, no mark, no start of a mention or a tag, and NFC leaves
    them alone whatever stands before them. Planes after the first two are not looked at."""
    is_special = np.ones(0x110000, dtype=bool)
    composing = {*range(0x1160, 0x1200)}  # Hangul vowels and finals: their compositions are no data
    for point in range(0x20000):
        letter = chr(point)
        if letter.isprintable() and unicodedata.category(letter)[0] != "M":
            parts = unicodedata.decomposition(letter).split()
            canonical = parts and not parts[0].startswith("<")
            is_special[point] = canonical and not unicodedata.is_normalized("NFC", letter)
            composing.update(int(part, 16) for part in parts[1:] if canonical)
    is_special[[*composing, ord("@"), ord("<")]] = True
    return is_special
