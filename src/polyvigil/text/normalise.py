"""The one normalisation: Unicode repair (`clean`), then the steps of the paper (`normalise`).

Posts are stored as they came; `model_text` is what a model reads. ``NORMALISATION`` names the pair, is written into
every bundle, and changes when one character of any result changes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import regex

from polyvigil.text.once import for_each

NORMALISATION = "gladiators-1"

_CONTROLS = regex.compile(r"[\p{Cc}--\s]|[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]", regex.V1)
_JOINED = r"[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}]"
_JOINERS = regex.compile(rf"(?<={_JOINED})([\u200c\u200d])[\u200c\u200d]*(?={_JOINED})|[\u200c\u200d]+")
_SURROGATE = regex.compile(r"[\ud800-\udfff]")
_MARKS = regex.compile(r"(\p{M}{30})\p{M}+")

_URL = re.compile(r"https?://\S+")
_MENTION = re.compile(r"@\w+|<user>")
_RUN = re.compile(r"(.)\1\1+", re.DOTALL)
_VISIBLE_WORD = regex.compile(r"[\p{L}\p{N}]")

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
    text = unicodedata.normalize("NFC", _MARKS.sub(r"\1", text))  # NFC alone takes quadratic time on a pile of marks
    stable: str = _MARKS.sub(r"\1", text)
    return stable


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


def model_text(text: str) -> str:
    """What a model reads of a stored post: ``normalise(clean(text))``."""
    return normalise(clean(text))


def model_texts(texts: Sequence[str]) -> list[str]:
    """``model_text`` of each, in their order; inside ``text.once`` of each different one once."""
    return for_each(texts, lambda fresh: [model_text(text) for text in fresh], work=NORMALISATION)


def no_text_reason(model_text: str) -> str:
    """Why a normalised post is unreadable: ``empty``, ``url_only``, ``mention_only``, ``no_words``; or ``""``."""
    if not model_text:
        return "empty"
    rest = model_text.replace("[URL]", " ")
    if not rest.strip():
        return "url_only"
    rest = rest.replace("@USER", " ").replace("[PLACE]", " ")
    if not rest.strip():
        return "mention_only"
    return "" if _VISIBLE_WORD.search(rest) else "no_words"


def replace_lone_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, so that it can be written as UTF-8."""
    return text if text.isascii() else str(_SURROGATE.sub("\ufffd", text))


def has_lone_surrogate(text: str) -> bool:
    """Whether the text holds half of a surrogate pair, as broken JSON escapes do."""
    return _SURROGATE.search(text) is not None
