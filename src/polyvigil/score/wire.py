"""The one record that scoring gives out, shared by every way of scoring, and how it is made from a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.store import Bundle
from polyvigil.detect.base import Window
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
    """The window of a long post that carried the score, ``start-end`` in characters of the post as it was written (or
    ``tokens start-end``, where a tokenizer does not tell characters); empty where the post was read whole."""
    flags: str
    """What to know about this row, joined by ``;``: no_text:REASON, language_not_trained, threshold_doubtful (it
    carries a warning), language_detected, lone_surrogate, near_duplicate (score.dedup), and one of JUDGING where a
    judge was to be asked."""
    bundle: str
    """Id of the bundle that decided."""


JUDGED, NOT_ASKED, FAILED = "judged", "judge_not_asked", "judge_failed"
JUDGING = (JUDGED, NOT_ASKED, FAILED)
"""The post is one that a judge decides: it did; it was not asked, or gave no answer, and the first stage decided."""

COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Decision))


def as_cells(decision: Decision) -> dict[str, object]:
    """The record by column name, in the order of COLUMNS."""
    return {name: getattr(decision, name) for name in COLUMNS}


@once()
def score_posts(bundle: Bundle, posts: Sequence[Post], *, detected: Sequence[bool] | None = None) -> list[Decision]:
    """Score posts and decide on each, in their order. ``detected`` says whose language was detected, not given."""
    if not posts:
        return []
    answers = bundle.asked(posts)
    members, languages = answers.probabilities, [post.language for post in posts]
    probabilities = bundle.decided(members, languages)
    calibrated = bundle.calibration.calibrated(probabilities, languages)
    flagged = bundle.policy.flags(probabilities, languages)
    judging = _judging(bundle, members, languages)
    lengths = bundle.lengths(posts)
    windows = bundle.windows(posts, answers)
    spreads = np.nanmax(members, axis=0) - np.nanmin(members, axis=0)
    texts = model_texts([post.text for post in posts])
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
                window=_told(windows[place]),
                flags=flags_of(
                    bundle,
                    post,
                    texts[place],
                    detected=detected is not None and detected[place],
                    judging=judging[place],
                ),
                bundle=bundle.id,
            )
        )
    return decisions


def _told(window: Window | None) -> str:
    if window is None:
        return ""
    return f"{'tokens ' if window.unit == 'tokens' else ''}{window.start}-{window.end}"


def _judging(bundle: Bundle, members: NDArray[np.float64], languages: Sequence[str]) -> list[str]:
    """For each post one of JUDGING, or nothing where the first stage decides anyway."""
    if bundle.combination.judge is None:
        return [""] * len(languages)
    silent = np.isnan(members[len(bundle.combination.asked_first(len(members))) :]).all(axis=0)
    unanswered = NOT_ASKED if bundle.has_endpoint and bundle.usage is None else FAILED
    told = np.where(bundle.called(members, languages), np.where(silent, unanswered, JUDGED), "")
    return [str(flag) for flag in told]


def judging_in(flags: str) -> str:
    """The one of JUDGING among the flags of a decision, or nothing."""
    return next((flag for flag in flags.split(";") if flag in JUDGING), "")


def flags_of(bundle: Bundle, post: Post, text: str, *, detected: bool, judging: str = "") -> str:
    """``Decision.flags`` of a post and its model ``text``."""
    flags = []
    if reason := no_text_reason(text):
        flags.append(f"no_text:{reason}")
    if not bundle.is_trained_on(post.language):
        flags.append("language_not_trained")
    if bundle.policy.threshold(post.language).warnings:
        flags.append("threshold_doubtful")
    if detected:
        flags.append("language_detected")
    if has_lone_surrogate(post.text):
        flags.append("lone_surrogate")
    if judging:
        flags.append(judging)
    return ";".join(flags)
