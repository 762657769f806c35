"""The one record that scoring gives out, shared by every way of scoring, and how it is made from a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.records import Post
from polyvigil.text.normalise import has_lone_surrogate, model_texts, no_text_reason
from polyvigil.text.once import once


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one post. The field names are the columns of every output."""

    p: float
    """P(ADE), combined over the members, in [0, 1]; 0 where there is nothing to read. Thresholds are on it."""
    p_calibrated: float
    """The share of posts like this one, in its language, that mention an ADE, as far as the dev posts tell."""
    decision: int
    """1: flagged as mentioning an ADE; 0: not flagged, which is not the same as harmless (see ``flags``)."""
    language: str
    """The language group the post was decided in."""
    threshold: float
    threshold_source: str
    """own, pooled, similar:LANGUAGE, prior, transported or fallback (decide.policy)."""
    spread: float
    """Largest minus smallest probability of the members that were asked; 0 with one."""
    n_tokens: int | None
    """Tokens of the post, before any cut, to the first member that counts them; None where none does (linear)."""
    truncated: bool
    """Whether that member was given less than the whole post."""
    window: str
    """The window of a long post that carried the score; empty where the post was read whole."""
    flags: str
    """What to know about this row, joined by ``;``: no_text:REASON, language_not_trained, language_detected,
    lone_surrogate."""
    bundle: str
    """Id of the bundle that decided."""


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Decision))


def as_cells(decision: Decision) -> dict[str, object]:
    """The record by column name, in the order of COLUMNS."""
    return {name: getattr(decision, name) for name in COLUMNS}


@once()
def score_posts(bundle: Bundle, posts: Sequence[Post], *, detected: Sequence[bool] | None = None) -> list[Decision]:
    """Score posts and decide on each, in their order. ``detected`` says whose language was detected, not given."""
    if not posts:
        return []
    members = bundle.asked_probabilities(posts)
    probabilities = bundle.combination.mean(members)
    calibrated = bundle.calibration.calibrated(probabilities, [post.language for post in posts])
    flagged = bundle.policy.flags(probabilities, [post.language for post in posts])
    lengths = bundle.lengths(posts)
    spreads = np.nanmax(members, axis=0) - np.nanmin(members, axis=0)
    decisions = []
    for place, post in enumerate(posts):
        threshold = bundle.policy.threshold(post.language)
        decisions.append(
            Decision(
                p=float(probabilities[place]),
                p_calibrated=float(calibrated[place]),
                decision=int(flagged[place]),
                language=post.language,
                threshold=threshold.value,
                threshold_source=threshold.told_source,
                spread=float(spreads[place]),
                n_tokens=None if lengths is None else int(lengths.tokens[place]),
                truncated=lengths is not None and bool(lengths.truncated[place]),
                window="",
                flags=_flags(bundle, post, detected=detected is not None and detected[place]),
                bundle=bundle.id,
            )
        )
    return decisions


def _flags(bundle: Bundle, post: Post, *, detected: bool) -> str:
    flags = []
    if reason := no_text_reason(model_texts([post.text])[0]):
        flags.append(f"no_text:{reason}")
    if not bundle.is_trained_on(post.language):
        flags.append("language_not_trained")
    if detected:
        flags.append("language_detected")
    if has_lone_surrogate(post.text):
        flags.append("lone_surrogate")
    return ";".join(flags)
