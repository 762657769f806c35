"""Which characters of a post stand behind each character that a model reads.

The steps of text.normalise are done once more, and of every replacement is remembered what it replaces. The result's
text is ``model_text``'s, character for character; a test holds the two side by side on text of all planes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from polyvigil.text.html import Change, html_changes
from polyvigil.text.normalise import AFTER_NFC, CLEANING, FIRST_NORMALISATION, NORMALISING

_SPACES = ((regex.compile(r"\A\s+|\s+\Z"), ""), (regex.compile(r"\s+"), " "))
# A letter with the marks and the Hangul vowels and finals after it: NFC composes nothing across such borders, since
# everything that composes with a character before it is a mark or a Hangul vowel or final (UAX 15).
_COMPOSED = regex.compile(r"[^\p{M}\u1160-\u11ff]?[\p{M}\u1160-\u11ff]*", regex.DOTALL)


@dataclass(frozen=True, slots=True)
class Alignment:
    """``text[i]`` was made from ``original[starts[i]:ends[i]]``, never empty; both int64 (n,), never decreasing.

    Characters made by one replacement share their source. What was removed stands behind none.
    """

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def distribute(self, values: NDArray[np.float64], *, length: int) -> NDArray[np.float64]:
        """Values of the characters of ``text``, (n,), as values of the original's, (length,): each is split evenly
        over its source. The sum stays as it is, but for rounding."""
        sizes = self.ends - self.starts
        before = np.cumsum(sizes) - sizes
        indices = np.arange(int(sizes.sum())) + np.repeat(self.starts - before, sizes)
        result = np.bincount(indices, weights=np.repeat(values / sizes, sizes), minlength=length)
        return np.asarray(result, dtype=np.float64)


def align_clean(original: str) -> Alignment:
    """``clean(original)`` with single spaces and none at the ends, and where each of its characters is from."""
    alignment = Alignment(original, np.arange(len(original)), np.arange(1, len(original) + 1))
    if not (original.isascii() and original.isprintable()):
        alignment = _replaced(alignment, CLEANING)
        alignment = _replaced(_composed(alignment), AFTER_NFC)
    return _replaced(alignment, _SPACES)


def replaced_by(alignment: Alignment, spans: Sequence[tuple[int, int]], new: str) -> Alignment:
    """The alignment with ``new`` in place of each of these spans of its text, which are in order and do not overlap."""
    return _changed(alignment, [Change(start, end, new) for start, end in spans]) if spans else alignment


def align(original: str, normalisation: str = FIRST_NORMALISATION) -> Alignment:
    """``model_text(original, normalisation)``, and where each of its characters is from. Time is linear in the text."""
    alignment = align_html(original, normalisation)
    if not (alignment.text.isascii() and alignment.text.isprintable()):
        alignment = _replaced(alignment, CLEANING)
        alignment = _replaced(_composed(alignment), AFTER_NFC)
    alignment = _replaced(alignment, NORMALISING)
    first, last = int(alignment.text.startswith(" ")), len(alignment.text) - int(alignment.text.endswith(" "))
    return Alignment(alignment.text[first:last], alignment.starts[first:last], alignment.ends[first:last])


def align_html(original: str, normalisation: str) -> Alignment:
    """``without_html(original, normalisation)``: the text as a reader sees it, nothing repaired or replaced yet."""
    alignment = Alignment(original, np.arange(len(original)), np.arange(1, len(original) + 1))
    changes = [] if normalisation == FIRST_NORMALISATION else list(html_changes(original))
    return _changed(alignment, changes) if changes else alignment


def _replaced(alignment: Alignment, steps: Sequence[tuple[Any, str]]) -> Alignment:
    for pattern, replacement in steps:
        is_template = "\\" in replacement
        changes = [
            Change(match.start(), match.end(), match.expand(replacement) if is_template else replacement)
            for match in pattern.finditer(alignment.text)
        ]
        if changes:
            alignment = _changed(alignment, changes)
    return alignment


def _composed(alignment: Alignment) -> Alignment:
    if unicodedata.is_normalized("NFC", alignment.text):
        return alignment
    changes = [
        Change(match.start(), match.end(), composed)
        for match in _COMPOSED.finditer(alignment.text)
        if (composed := unicodedata.normalize("NFC", match.group())) != match.group()
    ]
    return _changed(alignment, changes)


def _changed(alignment: Alignment, changes: Sequence[Change]) -> Alignment:
    """The alignment after these changes, which are in order and do not overlap."""
    starts, ends = (np.array([change[part] for change in changes]) for part in (0, 1))
    size = len(alignment.text)
    edges = np.column_stack((starts, ends)).ravel()
    begins = np.concatenate(([0], edges))  # of the parts: kept, new, kept, ..., kept
    sizes = np.concatenate((edges, [size])) - begins
    sizes[1::2] = [len(change.new) for change in changes]
    kept = np.repeat(np.arange(len(sizes)) % 2 == 0, sizes)
    inside = np.arange(len(kept)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = np.repeat(begins, sizes) + np.where(kept, inside, 0)
    last = np.where(kept, first, np.repeat(np.concatenate((edges, [size])) - 1, sizes))
    parts: list[str] = []
    at = 0
    for change in changes:
        parts += (alignment.text[at : change.start], change.new)
        at = change.end
    return Alignment("".join([*parts, alignment.text[at:]]), alignment.starts[first], alignment.ends[last])
