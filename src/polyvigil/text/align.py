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

from polyvigil.text.normalise import AFTER_NFC, CLEANING, NORMALISING

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

    def spread(self, values: NDArray[np.float64], *, length: int) -> NDArray[np.float64]:
        """Values of the characters of ``text``, (n,), as values of the original's, (length,): each is split evenly
        over its source. The sum stays as it is, but for rounding."""
        sizes = self.ends - self.starts
        before = np.cumsum(sizes) - sizes
        places = np.arange(int(sizes.sum())) + np.repeat(self.starts - before, sizes)
        spread: NDArray[np.float64] = np.bincount(places, weights=np.repeat(values / sizes, sizes), minlength=length)
        return spread


def align(original: str) -> Alignment:
    """``model_text(original)``, and where each of its characters is from. Time is linear in the text."""
    found = Alignment(original, np.arange(len(original)), np.arange(1, len(original) + 1))
    if not (original.isascii() and original.isprintable()):
        found = _replaced(found, CLEANING)
        found = _replaced(_composed(found), AFTER_NFC)
    found = _replaced(found, NORMALISING)
    first, last = int(found.text.startswith(" ")), len(found.text) - int(found.text.endswith(" "))
    return Alignment(found.text[first:last], found.starts[first:last], found.ends[first:last])


def _replaced(found: Alignment, steps: Sequence[tuple[Any, str]]) -> Alignment:
    for pattern, replacement in steps:
        changes = [(match.start(), match.end(), match.expand(replacement)) for match in pattern.finditer(found.text)]
        if changes:
            found = _changed(found, changes)
    return found


def _composed(found: Alignment) -> Alignment:
    if unicodedata.is_normalized("NFC", found.text):
        return found
    changes = [
        (match.start(), match.end(), composed)
        for match in _COMPOSED.finditer(found.text)
        if (composed := unicodedata.normalize("NFC", match.group())) != match.group()
    ]
    return _changed(found, changes)


def _changed(found: Alignment, changes: Sequence[tuple[int, int, str]]) -> Alignment:
    """The alignment after [start, end) became another string, for each of the changes, in their order."""
    parts: list[str] = []
    first: list[int] = []
    last: list[int] = []
    at = 0
    for start, end, new in changes:
        parts += [found.text[at:start], new]
        first += [*range(at, start), *[start] * len(new)]
        last += [*range(at, start), *[end - 1] * len(new)]
        at = end
    rest = range(at, len(found.text))
    starts = found.starts[np.array([*first, *rest], dtype=np.int64)]
    ends = found.ends[np.array([*last, *rest], dtype=np.int64)]
    return Alignment("".join([*parts, found.text[at:]]), starts, ends)
