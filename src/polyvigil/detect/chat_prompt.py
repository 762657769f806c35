"""What a chat model is told, and how its answer is read. The post is data in both directions.

Prompts are files that never change: a new wording is a new version. An answer is read as one number, or as nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from polyvigil.text.mask import mask

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_LOOKED_AT = 5  # times the characters that are sent: enough to mask, and bounded


@dataclass(frozen=True, slots=True)
class Prompt:
    """A shipped prompt. ``text`` is the system's message; the user's is the post, as JSON."""

    version: str
    text: str

    @property
    def sha256(self) -> str:
        """Of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_prompt(version: str) -> Prompt:
    """The prompt of a version (config.judge.ChatSpec.prompt)."""
    path = files("polyvigil.detect") / "chat_prompts" / f"{version}.txt"
    return Prompt(version, path.read_text(encoding="utf-8").strip())


def masked(text: str, *, most_characters: int) -> str:
    """What of a post is sent: masked (text.mask), then cut."""
    return mask(text[: _LOOKED_AT * most_characters])[:most_characters].rstrip()


def post_message(masked_text: str) -> str:
    """The user's message: a JSON string holds the post, so nothing in it can end it."""
    return json.dumps({"post": masked_text}, ensure_ascii=False)


def read_answer(content: object) -> float | None:
    """The P(ADE) of an answer such as ``{"ade": 0.3}``, in [0, 1]; None for anything else.

    One object with that one key, once; a code fence around it is allowed. Text before or after it is not.
    """
    if not isinstance(content, str):
        return None
    inside = _FENCE.fullmatch(content.strip())
    try:
        parsed = json.loads(inside[1] if inside else content, object_pairs_hook=_Pairs, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, _Pairs) or [key for key, _ in parsed] != ["ade"]:
        return None
    value = parsed[0][1]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


class _Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, doubled keys included."""


def _refused(constant: str) -> float:
    raise ValueError(constant)


def estimated_tokens(text: str) -> int:
    """A rough count, before any is known: four ASCII characters or one other make a token."""
    plain = sum(character.isascii() for character in text)
    return -(-plain // 4) + len(text) - plain
