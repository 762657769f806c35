"""Whether a translation can be trusted to say what its source says. Rules of thumb, each with a reason by name."""

from __future__ import annotations

from typing import Literal

import regex

from polyvigil.text.language import UNDETERMINED, detect_languages
from polyvigil.text.normalise import NORMALISATION, model_text, no_text_reason
from polyvigil.text.script import main_script

Reason = Literal["", "empty", "copy", "repetitive", "length", "script", "language", "too-long"]

REASONS: dict[Reason, str] = {
    "empty": "nothing to read was left",
    "copy": "it is its source, or nearly",
    "repetitive": "it says the same again and again",
    "length": "it is far longer or shorter than its source",
    "script": "it is not in the script of its language",
    "language": "it is surely in another language",
    "too-long": "a sentence of its source is longer than the model takes",
}
"""What each reason means; in the order in which they are looked for, but the last, which is known before."""

SCRIPTS = {"de": "Latin", "en": "Latin", "fa": "Arabic", "fr": "Latin", "ja": "Japanese", "ru": "Cyrillic", "zh": "Han"}
"""The script of each language that can be translated to."""

LENGTHS = {"de": 1.1, "en": 1.0, "fa": 0.9, "fr": 1.1, "ja": 0.45, "ru": 1.0, "zh": 0.33}
"""Characters for the same content as one of English, about; the limit is wide enough for the roughness of these."""
LENGTH_FACTOR = 3.0
_SLACK = 10  # characters that may be more or fewer in a short post
COPY = 0.7
"""Share of common 3-character runs among all. Languages of one script have names and drugs in common, not so much."""
DISTINCT = 0.5
"""Of the 5-character runs, those that are not said before; below it in the translation, and well below the source's."""
_LEAST_RUNS = 30
_WORDS = regex.compile(r"[\p{L}\p{M}\p{N}]+")


def rejection_reason(source_text: str, translation: str, *, source: str, target: str, writes_language: bool) -> Reason:
    """Why a translation is not to be used; ``""`` when nothing is found against it.

    ``writes_language``: whether it is in a language at all, else its script alone is looked at (augment.translator).
    """
    before, after = model_text(source_text, NORMALISATION), model_text(translation, NORMALISATION)
    if no_text_reason(after):
        return "empty"
    if _alike(before, after):
        return "copy"
    if _repetitive(before, after):
        return "repetitive"
    expected = len(before) / LENGTHS[source] * LENGTHS[target] + _SLACK
    if not 1 / LENGTH_FACTOR <= (len(after) + _SLACK) / expected <= LENGTH_FACTOR:
        return "length"
    if not _in_script(after, SCRIPTS[target]):
        return "script"
    if writes_language and detect_languages([after])[0] not in {target, UNDETERMINED}:
        return "language"
    return ""


def _in_script(text: str, script: str) -> bool:
    detected = main_script(text)
    return detected == script or (script == "Japanese" and detected == "Han")  # a short Japanese post may hold no kana


def _alike(before: str, after: str) -> bool:
    first, second = _runs(before, 3), _runs(after, 3)
    either = len(first | second)
    return before.lower() == after.lower() or bool(either and len(first & second) / either >= COPY)


def _runs(text: str, size: int) -> set[str]:
    """The runs of letters and digits, placeholders and marks left out of the count."""
    return set(_all_runs(text, size))


def _all_runs(text: str, size: int) -> list[str]:
    text = " ".join(_WORDS.findall(text.replace("[URL]", " ").replace("@USER", " ").replace("[PLACE]", " ").lower()))
    return [text[start : start + size] for start in range(len(text) - size + 1)]


def _repetitive(before: str, after: str) -> bool:
    runs = _all_runs(after, 5)
    if len(runs) < _LEAST_RUNS:
        return False
    share = len(set(runs)) / len(runs)
    source_runs = _all_runs(before, 5)
    usual = len(set(source_runs)) / len(source_runs) if source_runs else 1.0
    return share < DISTINCT and share < 0.7 * usual
