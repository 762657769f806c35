"""What a card shows, as data that the template and the script share: pieces of text, words and numbers of a score.

A blind card has no score here, as it has none in the store's ``Card``: nothing of it reaches the page.
"""

from __future__ import annotations

from typing import Any

from polyvigil.review.tasks import Card
from polyvigil.text.language import UNDETERMINED, base_language
from polyvigil.text.mentions import Lexicon, mentions
from polyvigil.text.visible import parts, visible

VERDICT_WORDS = {"ade": "ADE", "not": "not an ADE", "unsure": "unsure"}
_START = 120


def card_fields(card: Card, terms: Lexicon | None = None) -> dict[str, Any]:
    """A card for the page and for JSON. ``terms``: a user's drugs and reactions, which are marked in its text."""
    return {
        "task": card.task,
        "source_id": visible(card.source_id),
        "language": visible(card.language),
        "lang": lang_attribute(card.language),
        "type": visible(card.type),
        "mode": card.mode,
        "since": card.added_at[:10],
        "copies": card.copies,
        "parts": [[*part] for part in parts(card.text, card.evidence, mentions(card.text, terms) if terms else ())]
        if card.text is not None
        else None,
        "score": score_fields(card),
    }


def score_fields(card: Card) -> dict[str, Any] | None:
    """What the model says; None of a blind card."""
    if card.p is None or card.threshold is None:
        return None
    flagged = "flagged" if card.decision else "not flagged"
    return {
        "p": round(100 * card.p, 1),
        "threshold": round(100 * card.threshold, 1),
        "words": f"P {card.p:.2f}, threshold {card.threshold:.2f}: {flagged}",
    }


def revealed_fields(card: Card) -> dict[str, Any] | None:
    """What a blind card held back, once it is decided: score and evidence."""
    score = score_fields(card)
    if score is None:
        return None
    evidence = card.text[slice(*card.evidence)] if card.text and card.evidence else ""
    return {
        "source_id": visible(card.source_id),
        "lang": lang_attribute(card.language),
        "score": score,
        "parts": [[*part] for part in parts(evidence, (0, len(evidence)))],
    }


def row_fields(card: Card) -> dict[str, Any]:
    """A card as a row of a list: the first characters of its text."""
    start = " ".join((card.text or "").split())
    shown = start[:_START] + ("…" if len(start) > _START else "")
    return card_fields(card) | {"parts": [[*part] for part in parts(shown)] if card.text is not None else None}


def lang_attribute(language: str) -> str:
    """The value of ``lang``: ``de`` of ``de_cadec``; empty where no language is known."""
    code = base_language(language)
    return "" if code == UNDETERMINED or not code.replace("-", "").isascii() or len(code) > 16 else code
