"""Language codes, groups and detection. Nothing here guesses silently: unsure is ``und``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyvigil.text.language_names import standard_language

UNDETERMINED = "und"
CADEC_SUFFIX = "_cadec"

# The task's languages, and those they are most easily taken for: a post in one of the latter must not be called
# by the name of one of the former.
_CANDIDATES = (
    *("en", "de", "fr", "ja", "ru", "zh", "fa"),
    *("ar", "bg", "cs", "da", "es", "he", "hi", "id", "it", "ko", "nl", "no", "pl", "pt", "ro", "sv", "tr", "uk", "ur"),
)
_SURE = 0.5  # posterior under which a detection is called und
_FEWEST = 2  # posts whose languages make a prior; a post alone is judged by itself
_PSEUDO_COUNT = 0.1  # of posts of each language, so that a few posts do not rule a language out
_LEAST_SHARE = 0.01  # of each language: a post of one that the first posts did not show is still recognised
_ROUNDS = 50


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

    ``language``: any usual code or name (text.language_names); one that says none is ``und``. Raises ValueError when it
    is no language.
    """
    language = standard_group(language)
    if is_cadec(language) or language == UNDETERMINED:
        return language
    return language + CADEC_SUFFIX if type.strip().lower() == "drug_review" or "cadec" in id.lower() else language


@lru_cache(maxsize=1024)
def standard_group(given: str) -> str:
    """A language or a group by its standard code, as ``en`` of en-US, ``de_cadec`` of DE_CADEC; ``und`` where none is
    given. Raises ValueError when it is no language."""
    language = given.strip().lower()
    if is_cadec(language):
        base = standard_language(base_language(language))
        return base + CADEC_SUFFIX if base else UNDETERMINED
    return standard_language(language) or UNDETERMINED


@dataclass(frozen=True, slots=True)
class LanguagePrior:
    """How frequent each language is in a file: what the detection of a short post leans on."""

    shares: tuple[float, ...]
    """Of the detector's languages, in its order; they sum to 1."""


NO_PRIOR = LanguagePrior(())
"""Every language is as likely as any other."""


def detect_languages(texts: Sequence[str], prior: LanguagePrior = NO_PRIOR) -> list[str]:
    """A language code for each normalised text, ``und`` where the detector is unsure (posterior under 0.5).

    py3langid restricted to 26 languages; about 3,000 texts a second.
    """
    if not texts:
        return []
    posteriors = _posteriors(texts)
    if prior.shares:
        posteriors = posteriors * np.array(prior.shares)
        posteriors /= posteriors.sum(axis=1, keepdims=True)
    best = posteriors.argmax(axis=1)
    sure = posteriors[np.arange(len(best)), best] >= _SURE
    labels = _labels()
    return [labels[i] if certain else UNDETERMINED for i, certain in zip(best.tolist(), sure.tolist(), strict=True)]


def estimate_prior(texts: Sequence[str], given: Mapping[str, int]) -> LanguagePrior:
    """The mix of languages of a file, from some of its normalised texts without a language, and from the languages
    ``given`` for others, counted. Of fewer than two posts there is none.

    Expectation maximisation over the detector's posteriors: Saerens, Latinne, Decaestecker 2002, "Adjusting the outputs
    of a classifier to new a priori probabilities".
    """
    labels = _labels()
    known = np.array([given.get(label, 0) for label in labels], dtype=np.float64)
    if len(texts) + known.sum() < _FEWEST:
        return NO_PRIOR
    posteriors = _posteriors(texts)
    shares = np.full(len(labels), 1 / len(labels))
    for _ in range(_ROUNDS):
        weighted = posteriors * shares
        weighted /= weighted.sum(axis=1, keepdims=True)
        counts = weighted.sum(axis=0) + known + _PSEUDO_COUNT
        shares = counts / counts.sum()
    shares = np.maximum(shares, _LEAST_SHARE)
    return LanguagePrior(tuple((shares / shares.sum()).tolist()))


def _posteriors(texts: Sequence[str]) -> NDArray[np.float64]:
    """P(language | text) with all languages as likely, (n_texts, n_languages)."""
    labels = _labels()
    result = np.empty((len(texts), len(labels)))
    for row, text in zip(result, texts, strict=True):
        ranked = dict(_identifier().rank(text[:4000]))
        row[:] = [ranked[label] for label in labels]
    return result


@cache
def _labels() -> tuple[str, ...]:
    """The detector's languages, in its own order, which decides between equals."""
    return tuple(map(str, _identifier().nb_classes))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(_CANDIDATES))
    return identifier
