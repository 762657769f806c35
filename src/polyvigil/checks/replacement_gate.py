"""May a new bundle replace the old one? Both on the same reviewed posts, weighed to stand for all posts.

In: both bundles and posts with labels; best a whole worklist or export of a store, whose audit was drawn at random.
Out: a `ReplacementComparison` whose gates hold only where

- F1 of all languages together is not worse by more than a margin, with 95% certainty (a test of non-inferiority);
- no language is surely worse;
- no language's flag rate moved far.

Where the posts are too few to say so, the gate says no, why, and how many more would do. The limits stand here, each
with the reason for its value; benchmarks/replacement_gate.py measures how often the gate errs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvigil.bundle.outputs import json_document
from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.drift import DriftRow, drift_rows
from polyvigil.checks.audit.gate import FLAG_FACTOR, LEAST_POSTS, Gate, Measured, Ratio, gate_of
from polyvigil.data.read import Reading
from polyvigil.data.selection import AUDIT
from polyvigil.decide.shift import Side
from polyvigil.errors import DataError
from polyvigil.evaluation.groups import POOLED
from polyvigil.evaluation.reweighed import ReweighedPosts, reweighed
from polyvigil.evaluation.weighted_difference import (
    CellCounts,
    DecidedPosts,
    WeightedDifference,
    count_cells,
    flag_rates,
)
from polyvigil.text.language import counted_when_pooled
from polyvigil.types import Frozen, Post

MARGIN = 0.05
"""F1 that a new bundle may lose: about the half-width of F1 that 300 reviewed and 200 audited posts give."""
FEWEST_AUDITED = 50
"""Audited posts with which anything is said of what the old bundle cleared; as in evaluation.audit_estimate."""
FEWEST_POSITIVES = 10
"""ADEs among the posts compared, as weighted by none: with fewer the interval did not hold."""

MOST_UNMEASURED = 0.05
"""Of the queue, and of all posts, the share that nobody stands for: beyond it all together are not known either."""

Verdict = Literal["not worse", "worse", "undecided", "too few"]


class ReplacementSlice(Frozen):
    """One language, or all together. Differences are the new bundle's metrics less the old one's."""

    name: str
    posts: int
    audited: int
    """Of these: drawn at random from what was not read for its score; 0 of a file that was labelled whole."""
    positives: int
    discordant: int
    """Posts that the two decide differently."""
    f1: WeightedDifference
    recall: WeightedDifference
    precision: WeightedDifference
    verdict: Verdict
    reason: str


class FlagRate(Frozen):
    """The share of a language's posts that each bundle flags, in [0, 1]; ``ratio``: new over old."""

    language: str
    posts: int
    old_share: float
    new_share: float
    ratio: Ratio


class ReplacementComparison(Frozen):
    """``compare --gate -o FILE``."""

    first: str
    """Id of the old bundle."""
    second: str
    data: str
    margin: float
    languages: tuple[ReplacementSlice, ...]
    pooled: ReplacementSlice
    """Of the languages whose posts outside the queue are known."""
    unmeasured: tuple[str, ...]
    """Languages of which nothing can, and why."""
    flag_rates: tuple[FlagRate, ...]
    gates: tuple[Gate, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the new bundle may replace the old one."""
        return all(gate.passed for gate in self.gates)


REPLACEMENT = json_document("comparison with a gate", ("first", "second", "margin", "gates"))


@dataclass(frozen=True, slots=True)
class _Counted:
    """A language's posts, decided and counted."""

    name: str
    strata: tuple[DecidedPosts, ...]
    audited: int
    cells: CellCounts


def compare_for_replacement(
    old: Bundle, new: Bundle, reading: Reading, *, margin: float = MARGIN, rate_posts: Sequence[Post] = ()
) -> ReplacementComparison:
    """Compare on the posts of ``reading`` that neither bundle was made from. ``rate_posts``: further posts, labelled or
    not, on which flag rates are compared; without them they are of all posts that the labelled ones stand for.

    Raises DataError where no post is left, where a worklist is not decided, and for one bundle given twice.
    """
    if old.id == new.id:
        raise DataError("both bundles are the same", where=old.id, hint="give two different ones")
    posts = reweighed(reading, old, new)
    counted = _counted(old, new, posts)
    languages = tuple(
        _without_verdict(_slice(one.name, [one], margin, was_chosen=posts.were_chosen), posts) for one in counted
    )
    known = [one for one in counted if one.name not in posts.unaudited]
    pooled = [one for one, counts in zip(known, counted_when_pooled([o.name for o in known]), strict=True) if counts]
    whole = _slice(POOLED, pooled, margin, was_chosen=posts.were_chosen)
    if posts.unmeasured_share > MOST_UNMEASURED:
        reason = f"nothing is known of {posts.unmeasured_share:.0%} of them: {'; '.join(posts.unmeasured)}"
        whole = whole.model_copy(update={"verdict": "too few", "reason": reason})
    rates = _rates_of(old, new, rate_posts) if rate_posts else tuple(map(_weighted_rate, known))
    return ReplacementComparison(
        first=old.id,
        second=new.id,
        data=reading.name,
        margin=margin,
        languages=languages,
        pooled=whole,
        unmeasured=posts.unmeasured,
        flag_rates=rates,
        gates=(
            gate_of("f1-not-kept", margin, [_kept(whole, margin)]),
            gate_of("language-worse", 0.0, [_worse(part) for part in languages if part.verdict != "too few"]),
            gate_of("flag-rate-moved", FLAG_FACTOR, [_moved(rate) for rate in rates if rate.posts >= LEAST_POSTS]),
        ),
        notes=posts.notes,
    )


def _without_verdict(part: ReplacementSlice, posts: ReweighedPosts) -> ReplacementSlice:
    """A language without a verdict where a part of its posts is not known at all."""
    reasons = [reason for reason in posts.unmeasured if reason.startswith(f"{part.name}: ")]
    if not reasons:
        return part
    return part.model_copy(update={"verdict": "too few", "reason": reasons[0].partition(": ")[2]})


def _counted(old: Bundle, new: Bundle, posts: ReweighedPosts) -> list[_Counted]:
    """Each language by name."""
    texts, names = [item.post for item in posts.items], posts.languages.tolist()
    probabilities = [bundle.probabilities(texts) for bundle in (old, new)]
    flags = [
        Side(bundle.policy, p, bundle.abstains(texts)).flags(names)
        for bundle, p in zip((old, new), probabilities, strict=True)
    ]
    chances = old.calibration.calibrated(probabilities[0], names)
    counted = []
    for name in np.unique(posts.languages).tolist():
        strata = []
        for purpose in np.unique(posts.purposes).tolist():
            mask = (posts.languages == name) & (posts.purposes == purpose)
            if mask.any():
                arrays = (posts.labels, posts.weights, chances, flags[0], flags[1])
                strata.append(DecidedPosts(*(array[mask] for array in arrays)))
        audited = int(((posts.languages == name) & (posts.purposes == AUDIT)).sum())
        counted.append(_Counted(name, tuple(strata), audited, count_cells(strata, np.random.default_rng(0))))
    return counted


def _slice(name: str, parts: Sequence[_Counted], margin: float, *, was_chosen: bool) -> ReplacementSlice:
    """A language, or several together. ``was_chosen``: whether their posts are a queue and an audit."""
    strata = [stratum for part in parts for stratum in part.strata]
    cells = sum((part.cells for part in parts), start=count_cells([], np.random.default_rng(0)))
    audited = sum(part.audited for part in parts)
    posts, positives = sum(len(one.labels) for one in strata), sum(int(one.labels.sum()) for one in strata)
    f1 = cells.difference("f1")
    verdict, reason = decide(f1, margin, posts=posts, positives=positives, audited=audited if was_chosen else None)
    return ReplacementSlice(
        name=name,
        posts=posts,
        audited=audited,
        positives=positives,
        discordant=sum(int((one.first != one.second).sum()) for one in strata),
        f1=f1,
        recall=cells.difference("recall"),
        precision=cells.difference("precision"),
        verdict=verdict,
        reason=reason,
    )


def decide(
    f1: WeightedDifference, margin: float, *, posts: int, positives: int, audited: int | None
) -> tuple[Verdict, str]:
    """What a difference of F1 lets one say, and why in a sentence. ``audited``: None where all posts were labelled."""
    if not positives:
        return "too few", f"no ADE among {posts:,} posts, so nothing is known"
    if positives < FEWEST_POSITIVES:
        return "too few", (
            f"{positives:,} ADEs among {posts:,} posts are too few; about {posts * FEWEST_POSITIVES / positives:,.0f}"
            f" reviewed posts would hold {FEWEST_POSITIVES}"
        )
    if audited is not None and audited < FEWEST_AUDITED:
        return "too few", (
            f"{audited:,} audited posts are too few to know what the old bundle cleared; at least {FEWEST_AUDITED} are"
            " needed"
        )
    shown = f"F1 {f1.difference:+.3f}, at least {f1.at_least:+.3f} with 95% certainty"
    if f1.at_least >= -margin:
        return "not worse", shown
    if f1.at_most < 0:
        return "worse", f"F1 {f1.difference:+.3f}, at most {f1.at_most:+.3f} with 95% certainty"
    factor = ((f1.difference - f1.at_least) / margin) ** 2
    number = posts if audited is None else audited
    needed = f"about {number * factor:,.0f} {'' if audited is None else 'audited '}posts, and as many more of the queue"
    if audited is None:
        needed = f"about {number * factor:,.0f} posts"
    if factor <= 1:
        return "undecided", f"{shown}; the new bundle rather looks worse"
    return "undecided", f"{shown}; {needed} would decide it if the bundles were equal"


def _kept(part: ReplacementSlice, margin: float) -> Measured:
    return Measured(
        group=part.name,
        value=-part.f1.at_least,
        beyond=part.verdict != "not worse",
        message=f"{part.name}: {part.reason}; it may lose {margin:g}",
        advice="keep the old bundle; review more posts, the audit first (polyvigil review sample STORE --audit N)",
    )


def _worse(part: ReplacementSlice) -> Measured:
    return Measured(
        group=part.name,
        value=-part.f1.at_most,
        beyond=part.verdict == "worse",
        message=f"{part.name}: {part.reason}",
        advice=f"keep the old bundle, or learn from more posts of {part.name}",
        language=part.name,
    )


def _weighted_rate(part: _Counted) -> FlagRate:
    rates = flag_rates(part.strata, np.random.default_rng(0))
    return FlagRate(
        language=part.name,
        posts=sum(len(stratum.labels) for stratum in part.strata),
        old_share=rates.first,
        new_share=rates.second,
        ratio=Ratio(value=rates.ratio, low=rates.low, high=rates.high),
    )


def _rates_of(old: Bundle, new: Bundle, posts: Sequence[Post]) -> tuple[FlagRate, ...]:
    sides = [Side(bundle.policy, bundle.probabilities(posts), bundle.abstains(posts)) for bundle in (old, new)]
    return tuple(map(_rate_of, drift_rows(sides[0], sides[1], [post.language for post in posts])))


def _rate_of(row: DriftRow) -> FlagRate:
    return FlagRate(
        language=row.language, posts=row.posts, old_share=row.old_share, new_share=row.new_share, ratio=row.ratio
    )


def _moved(rate: FlagRate) -> Measured:
    value = max(rate.ratio.value, 1 / rate.ratio.value)
    return Measured(
        group=rate.language,
        value=value,
        beyond=rate.ratio.beyond(FLAG_FACTOR),
        message=f"{rate.language}: {rate.new_share:.1%} of the posts are flagged in place of {rate.old_share:.1%}, "
        f"{rate.ratio.value:.2f} times (95% {rate.ratio.low:.2f} to {rate.ratio.high:.2f}; limit {FLAG_FACTOR:.2f} "
        "times either way)",
        advice="keep the old rate: polyvigil tune NEW posts.csv --like OLD -o TUNED",
        language=rate.language,
    )
