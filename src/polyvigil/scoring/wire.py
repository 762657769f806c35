"""The one record that scoring gives out, shared by every way of scoring, and how it is made from a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polyvigil.bundle.store import Bundle, BundleScores
from polyvigil.detect.base import Window
from polyvigil.scoring.digits import rounded, rounded_all, rounded_probabilities
from polyvigil.text.memo import memoised
from polyvigil.text.normalise import has_lone_surrogate, is_unicode, model_texts, no_text_reason, no_text_reasons
from polyvigil.types import Post


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one post. The field names are the columns of every output.

    Numbers have six significant digits, and ``p >= threshold`` says what ``decision`` says (scoring.digits).
    """

    p: float
    """P(ADE), combined over the members, in [0, 1]; 0 where there is nothing to read. Thresholds are on it."""
    p_calibrated: float
    """The share of posts like this one, in its language, that mention an ADE, as far as the dev posts tell; ``p`` of a
    bundle without a calibration."""
    decision: int
    """1: flagged as mentioning an ADE; 0: not flagged, which is not the same as harmless (see ``flags``)."""
    language: str
    """The language group the post was decided in."""
    threshold: float
    threshold_source: str
    """own, pooled, similar:LANGUAGE, prior, transported or fallback (decide.policy); or ABSTAINED, with threshold 1."""
    spread: float
    """Largest minus smallest probability of the members that scored the post, of both stages; 0 with one."""
    n_tokens: int | None
    """Tokens of the post, before any cut, to the first member that counts them; None where none does (linear)."""
    truncated: bool
    """Whether that member was given less than the whole post."""
    window: str
    """The window of a long post that carried the score, ``start-end`` in characters of the post as it was written (or
    ``tokens start-end``, where a tokenizer does not tell characters); empty where the post was read whole."""
    flags: tuple[str, ...]
    """What to know about this row; files join them by ``;``: those of FLAGS, and in files ``near_duplicate``
    (scoring.dedup) and ``cell_protected`` (data.protection). ``polyvigil help flags`` explains each."""
    bundle: str
    """Id of the bundle that decided."""


JUDGED, SKIPPED, FAILED = "judged", "judge_not_asked", "judge_failed"
JUDGING = (JUDGED, SKIPPED, FAILED)
"""The post is one that a judge decides: it did; it was not asked, or gave no answer, and the first stage decided."""

ABSTAINED = "abstained"
"""Not flagged because nothing says what a linear model's P means there: see bundle.store.Bundle.abstains."""

NO_TEXT = "no_text"
"""Nothing to read; ``no_text:REASON`` in a row, with a reason of text.normalise.no_text_reason."""
NOT_TRAINED = "language_not_trained"
DETECTED, SURROGATE = "language_detected", "lone_surrogate"
FLAGS = (NO_TEXT, NOT_TRAINED, ABSTAINED, DETECTED, SURROGATE, *JUDGING)
"""Every flag that a decision may have, by its name."""

COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Decision))
CALIBRATED = "p_calibrated"
SEVERAL_MEMBERS = ("spread",)
TOKENS = ("n_tokens", "truncated", "window")
"""Columns that are left out where the bundle can say nothing in them (scoring.facts): it has no calibration, and
CALIBRATED would repeat ``p``; it has one member; no member counts tokens."""
NOTHING = {"spread": 0.0, "n_tokens": None, "truncated": False, "window": ""}
"""What a Decision holds where such a column was left out."""
ARROW_TYPES = {
    "p": pa.float64(),
    "p_calibrated": pa.float64(),
    "decision": pa.int8(),
    "threshold": pa.float64(),
    "spread": pa.float64(),
    "n_tokens": pa.int32(),
    "truncated": pa.bool_(),
    "evidence_start": pa.int64(),
    "evidence_end": pa.int64(),
}
"""Of our columns in Parquet and in tables; the others are strings."""
_values = attrgetter(*COLUMNS)


def flags_text(flags: Sequence[str]) -> str:
    """The flags of a decision as one cell of a file."""
    return ";".join(flags)


def as_cells(decision: Decision, columns: Sequence[str] = COLUMNS) -> dict[str, object]:
    """The record by column name, in the order of ``columns``; ``flags`` as a tuple, which a writer joins."""
    cells = zip(COLUMNS, _values(decision), strict=True)
    return dict(cells) if columns == COLUMNS else {name: cell for name, cell in cells if name in columns}


DecisionColumns = Mapping[str, Sequence[Any]]
"""The fields of Decision, each for many posts, (n_posts,), in the order of COLUMNS."""


def score_posts(bundle: Bundle, posts: Sequence[Post], *, detected: Sequence[bool] | None = None) -> list[Decision]:
    """Score posts and decide on each, in their order. ``detected`` says whose language was detected, not given.

    The decisions are made on all digits of the probabilities; the records have six.
    """
    return list(map(Decision, *decision_columns(bundle, posts, detected=detected).values())) if posts else []


@memoised()
def decision_columns(
    bundle: Bundle, posts: Sequence[Post], *, detected: Sequence[bool] | None = None
) -> DecisionColumns:
    """``score_posts`` column by column; there is at least one post."""
    scores, languages = bundle.scores(posts), [post.language for post in posts]
    members = scores.all_members.probabilities
    probabilities = bundle.combined(scores, languages)
    abstained = bundle.abstains(posts)
    flagged = bundle.policy.flags(probabilities, languages) & ~abstained
    abstains = abstained.tolist()
    thresholds = {language: bundle.policy.threshold(language) for language in dict.fromkeys(languages)}
    cells = {(language, False): (rounded(one.value), one.source_name) for language, one in thresholds.items()}
    cells |= {(language, True): (1.0, ABSTAINED) for language in thresholds}
    written, sources = zip(*map(cells.__getitem__, zip(languages, abstains, strict=True)), strict=True)
    lengths = bundle.lengths(posts)
    n_posts = len(posts)
    columns = {
        "p": rounded_probabilities(probabilities, np.array(written), flagged).tolist(),
        "p_calibrated": rounded_all(bundle.calibration.calibrated(probabilities, languages)).tolist(),
        "decision": flagged.astype(np.int8).tolist(),
        "language": languages,
        "threshold": written,
        "threshold_source": sources,
        "spread": _member_range(members),
        "n_tokens": [None] * n_posts if lengths is None else lengths.tokens.tolist(),
        "truncated": [False] * n_posts if lengths is None else lengths.truncated.tolist(),
        "window": list(map(_window_text, bundle.windows(posts, scores))),
        "flags": _flags(bundle, posts, _judging(bundle, scores), detected=detected, abstains=abstains),
        "bundle": [bundle.id] * n_posts,
    }
    assert tuple(columns) == COLUMNS
    return columns


def columns_of_decisions(decisions: Sequence[Decision]) -> DecisionColumns:
    """Records column by column."""
    return dict(zip(COLUMNS, zip(*map(_values, decisions), strict=True), strict=True)) if decisions else {}


def _member_range(members: NDArray[np.float64]) -> list[float]:
    """See ``Decision.spread``; ``members`` (n_members, n_posts)."""
    if len(members) == 1:
        return [0.0] * members.shape[1]
    ranges: list[float] = rounded_all(np.nanmax(members, axis=0) - np.nanmin(members, axis=0)).tolist()
    return ranges


def _flags(
    bundle: Bundle,
    posts: Sequence[Post],
    judging: Sequence[str],
    *,
    detected: Sequence[bool] | None,
    abstains: Sequence[bool],
) -> list[tuple[str, ...]]:
    """``Decision.flags`` of each post."""
    texts = [post.text for post in posts]
    surrogates = [False] * len(posts) if is_unicode("".join(texts)) else map(has_lone_surrogate, texts)
    reasons = no_text_reasons(model_texts(texts, bundle.normalisation))
    languages = [post.language for post in posts]
    group_flags = {language: flags_of_group(bundle, language) for language in {*languages}}
    given = [False] * len(posts) if detected is None else detected
    keys = list(zip(languages, abstains, reasons, given, surrogates, judging, strict=True))
    flags: dict[tuple[str, bool, str, bool, bool, str], tuple[str, ...]] = {}
    for key in {*keys}:
        language, abstained, reason, was_detected, surrogate, judged = key
        of_group = [*group_flags[language], ABSTAINED] if abstained else group_flags[language]
        flags[key] = _all_flags(reason, of_group, detected=was_detected, surrogate=surrogate, judging=judged)
    return list(map(flags.__getitem__, keys))


def _window_text(window: Window | None) -> str:
    if window is None:
        return ""
    return f"{'tokens ' if window.unit == 'tokens' else ''}{window.start}-{window.end}"


def _judging(bundle: Bundle, scores: BundleScores) -> list[str]:
    """For each post one of JUDGING, or nothing where the first stage decides anyway."""
    if scores.second is None:
        return [""] * scores.first.probabilities.shape[1]
    unanswered = SKIPPED if bundle.has_endpoint and scores.second.usage is None else FAILED
    flags = np.where(scores.second.in_band, np.where(scores.second.answered, JUDGED, unanswered), "")
    return [str(flag) for flag in flags]


def judging_in(flags: Sequence[str]) -> str:
    """The one of JUDGING among the flags of a decision, or nothing."""
    return next((flag for flag in flags if flag in JUDGING), "")


class DecidingBundle(Protocol):
    """What of a bundle the flags of a language group follow from."""

    def is_trained_on(self, language: str) -> bool: ...


def flags_of_group(bundle: DecidingBundle, language: str) -> list[str]:
    """The flags that every post of a language group has."""
    return [] if bundle.is_trained_on(language) else [NOT_TRAINED]


def flags_of(post: Post, text: str, of_group: Sequence[str], *, detected: bool, judging: str = "") -> tuple[str, ...]:
    """``Decision.flags`` of a post and its model ``text``; ``of_group``: those of its language group."""
    surrogate = has_lone_surrogate(post.text)
    return _all_flags(no_text_reason(text), of_group, detected=detected, surrogate=surrogate, judging=judging)


def _all_flags(
    reason: str, of_group: Sequence[str], *, detected: bool, surrogate: bool, judging: str
) -> tuple[str, ...]:
    flags = [f"{NO_TEXT}:{reason}", *of_group] if reason else [*of_group]
    if detected:
        flags.append(DETECTED)
    if surrogate:
        flags.append(SURROGATE)
    if judging:
        flags.append(judging)
    return tuple(flags)
