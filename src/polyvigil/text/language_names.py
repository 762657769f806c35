"""What people write in a column of languages, as one code: ``en`` of en-US, EN, eng, English; ``zh`` of zh_CN.

In comes a cell or a setting, out goes an ISO 639 code of two letters where there is one, or nothing where the cell says
that no language is known. Codes come before names: ``no``, ``is`` and ``to`` are languages. langcodes (BCP 47, CLDR)
knows the rest; it is imported for what is not plain.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import regex

_PLAIN_CODES = {
    *("ar", "bg", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja"),
    *("ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "ur", "vi", "zh"),
}
_NONE = frozenset(
    ("", "nan", "none", "null", "n/a", "#n/a", "<na>", "-", "?", "??", "unknown", "undetermined", "not available")
)
_NONE_CODES = frozenset(("und", "zxx", "mul", "mis", "art"))  # ISO 639-2: undetermined, no linguistic content, several
_LOCAL_USE = regex.compile(r"q[a-t][a-z]")  # ISO 639-2, local use: qme, qht, qam, qst of Twitter
_TAG = regex.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]{1,8})*(?:\.[a-z0-9-]+)?(?:@\w+)?", regex.IGNORECASE)
_LONGEST = 200  # characters of a code or a name
_OF_MACROLANGUAGE = {"nb": "no", "nn": "no"}  # which langcodes leaves as they are
_SHORTEST_NAME = 4  # of letters of the Latin script; a shorter word is a code or nothing


def standard_language(given: str) -> str:
    """The code of a language by any usual code or name; empty where ``given`` says that none is known.

    Script, region and encoding are dropped (``zh-Hans``, ``en_US.UTF-8``), a member of a macrolanguage goes by its
    name (``cmn`` is ``zh``, ``nb`` is ``no``). Raises ValueError for a word that is no language.
    """
    if len(given) > _LONGEST or "\0" in given:  # at a NUL the table of names is read beyond its end
        raise ValueError(given[:_LONGEST])
    return _standard(given)


@lru_cache(maxsize=1024)
def _standard(given: str) -> str:
    word = " ".join(given.split()).lower()
    if word in _PLAIN_CODES:
        return word
    if word in _NONE or word in _NONE_CODES or _LOCAL_USE.fullmatch(word):
        return ""
    return _by_code(word) if _TAG.fullmatch(word) and len(regex.split("[-_.@]", word)[0]) <= 3 else _by_name(word)


def _by_code(word: str) -> str:
    from langcodes import Language
    from langcodes.tag_parser import LanguageTagError

    tag = regex.split("[.@]", word)[0].replace("_", "-")
    try:
        language = Language.get(tag)
    except LanguageTagError as error:
        raise ValueError(word) from error
    if not language.is_valid() or not language.language:
        raise ValueError(word)
    code = _macrolanguage(language)
    return "" if code in _NONE_CODES else code


def _by_name(word: str) -> str:
    """Names of languages of two letters alone: the rare ones share theirs with other words (Even, Mono, Song)."""
    import langcodes

    if word.isascii() and len(word) < _SHORTEST_NAME:
        raise ValueError(word)
    name = regex.sub(r"\s*\([^()]*\)$", "", word)  # "english (us)"
    try:
        language = langcodes.find(name)
    except LookupError as error:
        raise ValueError(word) from error
    code = _macrolanguage(language)
    if len(code) > 2 and code not in {"yue", "fil"}:
        raise ValueError(word)
    if " " in name and not (language.script or language.territory):  # of "english please" find takes the first word
        raise ValueError(word)
    return code


def _macrolanguage(language: Any) -> str:
    code = str(language.prefer_macrolanguage().language)
    return _OF_MACROLANGUAGE.get(code, code)
