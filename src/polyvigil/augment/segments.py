"""A post as what is translated of it and what is not: NLLB was made for sentences, and drops some of a longer text.

Placeholders and emoji at either end of a sentence stay as they are, as does a sentence without letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import regex

from polyvigil.text.normalise import model_text
from polyvigil.text.sentences import sentences

_KEPT = r"(?:\[URL\]|@USER|\[PLACE\]|[\s\p{Extended_Pictographic}\p{Emoji_Modifier}\u200d\ufe0f])*+"
_PARTS = regex.compile(rf"(?P<head>{_KEPT})(?P<core>.*?)(?P<tail>{_KEPT})\Z", regex.DOTALL)
_LETTER = regex.compile(r"\p{L}")
_WITHOUT_SPACES = ("ja", "zh")


@dataclass(frozen=True, slots=True)
class Segment:
    """One sentence: ``head + core + tail``, of which the core is translated; an empty core has nothing to be."""

    head: str
    core: str
    tail: str


def segments(text: str) -> tuple[Segment, ...]:
    """The sentences of a stored post, normalised as a model reads it."""
    plain = model_text(text)
    return tuple(_segment(plain[part.start : part.end].strip()) for part in sentences(plain))


def reassemble(parts: Sequence[Segment], translations: Mapping[str, str], *, target: str) -> str:
    """The post again, each core by its translation; sentences are parted by a space where ``target`` has any."""
    pieces = (part.head + (translations[part.core].strip() if part.core else "") + part.tail for part in parts)
    return ("" if target in _WITHOUT_SPACES else " ").join(pieces).strip()


def _segment(sentence: str) -> Segment:
    match = _PARTS.match(sentence)
    if match is None or not _LETTER.search(match["core"]):
        return Segment(sentence, "", "")
    return Segment(match["head"], match["core"], match["tail"])
