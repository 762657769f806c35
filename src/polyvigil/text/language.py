"""Language codes, groups and detection. Nothing here guesses silently: unsure is ``und``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

UNDETERMINED = "und"
CADEC_SUFFIX = "_cadec"

# The task's languages, and those they are most easily taken for: a post in one of the latter must not be called
# by the name of one of the former.
_CANDIDATES = (
    *("en", "de", "fr", "ja", "ru", "zh", "fa"),
    *("ar", "bg", "cs", "da", "es", "he", "hi", "id", "it", "ko", "nl", "no", "pl", "pt", "ro", "sv", "tr", "uk", "ur"),
)
_SURE = 0.5  # posterior under which a detection is called und
_CODE = regex.compile(r"[a-z]{2,3}([_-][a-z0-9]+)*", regex.IGNORECASE)


def base_language(language: str) -> str:
    """The language of a group: ``de`` of ``de_cadec`` and of ``de``."""
    return language.removesuffix(CADEC_SUFFIX)


def is_cadec(language: str) -> bool:
    """Whether a group holds translated CADEC reviews, which the official pooled score leaves out."""
    return language.endswith(CADEC_SUFFIX)


def counted_when_pooled(languages: Sequence[str]) -> NDArray[np.bool_]:
    """Which posts a pooled metric includes, (n_posts,): all but the CADEC groups, or all where there are none else."""
    official = np.array([not is_cadec(language) for language in languages], dtype=np.bool_)
    return official if official.any() else ~official


def language_group(language: str, *, type: str, id: str) -> str:
    """The group a post is scored in: ``de_cadec`` for a German row of type ``drug_review`` or with ``cadec`` in its id.

    ``language`` is lower-cased; an empty one is ``und``. Raises ValueError when it is no language code.
    """
    language = _canonical(language)
    if is_cadec(language) or language == UNDETERMINED:
        return language
    return language + CADEC_SUFFIX if type.strip().lower() == "drug_review" or "cadec" in id.lower() else language


@lru_cache(maxsize=256)
def _canonical(language: str) -> str:
    language = language.strip().lower()
    if language and not _CODE.fullmatch(language):
        raise ValueError(language)
    return language or UNDETERMINED


def detect_languages(texts: Sequence[str]) -> list[str]:
    """A language code for each normalised text, ``und`` where the detector is unsure (posterior under 0.5).

    py3langid restricted to 26 languages; about 3,000 texts a second.
    """
    identifier = _identifier()
    languages = []
    for text in texts:
        language, posterior = identifier.classify(text[:4000])
        languages.append(str(language) if posterior >= _SURE else UNDETERMINED)
    return languages


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(_CANDIDATES))
    return identifier
