"""What was missed: recall, F1 and missed ADEs of posts that were read by their score, from an audit of the others.

In: for each language and bundle the posts that were read (logit of calibrated P, label), those that were not, and of
the latter an audit sample with labels and the probability that each had of being in it (review.sampling). Out: an
``AuditEstimate`` for each language and for all together: values with intervals, or the reason why there is none.

Everything is one interval for X, the ADEs among the unread posts: recall = TP / (TP + X), F1 = 2 TP / (read + TP + X),
missed = X. Two estimators of X:

- ``sample``: the audit alone. A gamma interval of the weighted sum of the ADEs found (Fay and Feuer 1997), its largest
  weight replaced by the mean weight of an expected miss. It held in every simulated world (benchmarks/RESULTS.md). The
  one-sided bound takes the mean weight by weight instead, which is larger: with the plain mean it held in 93% only
  where misses look harmless to the model.
- ``curve``: a posterior of the rate along the score (evaluation.rate_curve), narrower, and used only where the read
  posts hold at least 8 times as many ADEs as the others and the recalibrated scores have a slope of at least 0.6.

"At least so many, for certain" always comes from ``sample``. An interval of several days, bundles or languages is one
of the sum; days of one bundle and language are one part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from polyvigil.evaluation.intervals import LEVEL
from polyvigil.evaluation.rate_curve import RateCurve, Recalibration, fit_curve, recalibrate
from polyvigil.types import Frozen

Floats = NDArray[np.float64]
Method = Literal["curve", "sample"]

FEWEST_LIFT = 8.0
FEWEST_SLOPE = 0.6
FEWEST_MISSES = 3
"""ADEs that the audit must find before a value is given beside an interval."""
FEWEST_TRUE_POSITIVES = 10
MOST_BOUND_ONLY = 100
"""Audited posts up to which a value would mostly be the model's own opinion: an interval and a bound, no value."""
WIDEST = 0.25
"""Half-width of an interval of recall beyond which no value is given."""
RARE = 0.05
"""Prevalence below which one reader's false positives outnumber the misses: audited ADEs must be read twice."""
_SAMPLES = 1200
NOT_RULED_OUT = "Posts that look like ordinary posts to the model are covered by the interval, not ruled out."


@dataclass(frozen=True)
class AuditPart:
    """Posts of one language that one bundle scored, of one day or more. All arrays in one order each; logits are of
    calibrated P (rate_curve.logits).

    Posts that say the same count once. Posts that were picked for learning are in none of the arrays.
    """

    language: str
    read: Floats
    """(n_read,): logits of the posts that were read because of their score, all of which have a label."""
    read_labels: NDArray[np.int8]
    frame: Floats
    """(n_frame,): logits of the posts that were not, from which the audit was drawn."""
    inclusion: Floats
    """(n_frame,): the probability that each had of being audited, above 0."""
    audited: NDArray[np.bool_]
    """(n_frame,): whether it was."""
    audit_labels: NDArray[np.int8]
    """(n_audited,): of those, in their order."""
    threshold: float
    """The logit down to which posts were read; of several days the mean."""
    is_trained: bool = True
    """Whether the bundle was trained on the language."""
    bundle: str = ""

    def __post_init__(self) -> None:
        if len(self.read) != len(self.read_labels):
            raise ValueError(f"{len(self.read)} read posts, {len(self.read_labels)} labels")
        if not len(self.frame) == len(self.inclusion) == len(self.audited):
            raise ValueError(f"{len(self.frame)} posts, {len(self.inclusion)} probabilities, {len(self.audited)} marks")
        if len(self.audit_labels) != self.n_audited:
            raise ValueError(f"{self.n_audited} audited posts, {len(self.audit_labels)} labels")
        if not ((self.inclusion > 0) & (self.inclusion <= 1)).all():
            raise ValueError("a probability of being audited is not in (0, 1]")

    @property
    def n_audited(self) -> int:
        return int(np.count_nonzero(self.audited))

    @property
    def true_positives(self) -> int:
        """ADEs among the read posts."""
        return int(self.read_labels.sum())

    @property
    def audit_positives(self) -> int:
        return int(self.audit_labels.sum())

    @cached_property
    def recalibration(self) -> Recalibration:
        """The scores brought to the labels of all read and audited posts, unweighted."""
        posts = np.concatenate([self.read, self.frame[self.audited]])
        return recalibrate(posts, np.concatenate([self.read_labels, self.audit_labels]))

    @cached_property
    def expected(self) -> Floats:
        """The recalibrated P of each post of the frame: (n_frame,)."""
        return self.recalibration.rates(self.frame)

    @cached_property
    def lift(self) -> float:
        """Precision of the read posts over the estimated share of ADEs among the others (a difference estimate)."""
        if not len(self.read) or not len(self.frame):
            return 0.0
        errors = (self.audit_labels - self.expected[self.audited]) / self.inclusion[self.audited]
        missed = max(float(self.expected.sum() + errors.sum()), 0.5)
        return self.true_positives / len(self.read) / (missed / len(self.frame))

    def curve(self, random: np.random.Generator) -> RateCurve:
        """The posterior of the rate along the score."""
        posts = np.concatenate([self.read, self.frame[self.audited]])
        labels = np.concatenate([self.read_labels, self.audit_labels])
        unread = self.frame[~self.audited]
        return fit_curve(posts, labels, unread, threshold=self.threshold, random=random, samples=_SAMPLES)

    @property
    def scores_inform(self) -> bool:
        """Whether ``curve`` may be used: the rule that kept its coverage in simulation."""
        return self.lift >= FEWEST_LIFT and self.recalibration.slope >= FEWEST_SLOPE


class MissedInterval(Frozen):
    """ADEs among the unread posts: a value, an interval of the level that was asked for, and a one-sided bound."""

    value: float
    low: float
    high: float
    at_most: float
    """With the level's confidence no more than this; always from the audit alone."""
    method: Method


class Estimate(Frozen):
    """A metric. ``value`` is None where the audit cannot carry one beside the interval (``AuditEstimate.remarks``)."""

    value: float | None
    low: float
    high: float


class AuditEstimate(Frozen):
    """One language, or all together. Counts are of posts that say different things."""

    name: str
    read: int
    true_positives: int
    """ADEs among the read posts: counted, not estimated."""
    unread: int
    """Posts that were not read because of their score, audited or not."""
    audited: int
    audit_positives: int
    level: float
    method: Method | None
    """None where nothing is estimated."""
    lift: float
    slope: float
    missed: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    recall_at_least: float | None
    """With the level's confidence recall is no less."""
    missed_at_most: float | None
    remarks: tuple[str, ...]
    """Plain sentences: why a value or everything is refused, and what the estimate rests on."""

    @property
    def precision(self) -> float | None:
        """Of the read posts; None where none was read."""
        return self.true_positives / self.read if self.read else None


def gamma_interval(weights: Floats, miss_weight: float, *, tail: float) -> tuple[float, float]:
    """Interval of the expectation of a weighted count: the ``weights`` of what was counted, (n,), and the weight that
    one more would have had. ``tail``: the probability on either side.

    Of equal weights it is the exact interval of a Poisson count (Garwood 1936) times the weight.
    """
    total, variance = float(weights.sum()), float((weights**2).sum())
    low = float(gammaincinv(total**2 / variance, tail) * (variance / total)) if total else 0.0
    above, above_variance = total + miss_weight, variance + miss_weight**2
    high = float(gammaincinv(above**2 / above_variance, 1 - tail) * (above_variance / above)) if above else 0.0
    return low, high


def missed_by_sample(parts: Sequence[AuditPart], *, level: float = LEVEL) -> MissedInterval:
    """X of all parts from their audits alone. Raises ValueError where a part has unread posts and no audit."""
    _check_audited(parts)
    weights = np.concatenate(
        [(part.audit_labels / part.inclusion[part.audited])[part.audit_labels == 1] for part in parts]
    )
    # sums over the expected misses of 1, of the weight and of its square
    moments = [sum(float((part.expected / part.inclusion**power).sum()) for part in parts) for power in (0, 1, 2)]
    mean_weight = moments[1] / moments[0] if moments[0] else 0.0
    heavy_weight = moments[2] / moments[1] if moments[1] else 0.0
    low, high = gamma_interval(weights, mean_weight, tail=(1 - level) / 2)
    at_most = gamma_interval(weights, heavy_weight, tail=1 - level)[1]
    return MissedInterval(
        value=_clipped(parts, float(weights.sum())),
        low=_clipped(parts, low),
        high=_clipped(parts, high),
        at_most=_clipped(parts, at_most),
        method="sample",
    )


def missed_by_curve(parts: Sequence[AuditPart], *, level: float = LEVEL, seed: int = 0) -> MissedInterval:
    """X of all parts as the sum of their posteriors; its one-sided bound from the audits alone."""
    by_sample = missed_by_sample(parts, level=level)
    random = np.random.default_rng(seed)
    total = np.zeros(_SAMPLES)
    for part in parts:
        curve = part.curve(random)
        missed = part.audit_positives + curve.missed(part.frame[~part.audited], random)
        if len(parts) == 1:
            return _curve_interval(missed.astype(np.float64), curve.weights, by_sample, parts, level=level)
        total += random.choice(missed, _SAMPLES, p=curve.weights)
    return _curve_interval(total, np.full(_SAMPLES, 1 / _SAMPLES), by_sample, parts, level=level)


def _curve_interval(
    missed: Floats, weights: Floats, by_sample: MissedInterval, parts: Sequence[AuditPart], *, level: float
) -> MissedInterval:
    order = np.argsort(missed, kind="stable")
    reached = np.cumsum(weights[order])
    tails = np.array([(1 - level) / 2, (1 + level) / 2]) * reached[-1]
    low, high = missed[order][np.minimum(np.searchsorted(reached, tails), len(order) - 1)].tolist()
    if not any(part.audit_positives for part in parts):  # nothing found by luck is where every model fails
        high = max(high, by_sample.high)
    return MissedInterval(
        value=_clipped(parts, float(missed @ weights)),
        low=_clipped(parts, low),
        high=_clipped(parts, high),
        at_most=by_sample.at_most,
        method="curve",
    )


def missed_of_day(bundle: AuditPart, day: AuditPart, *, level: float = LEVEL, seed: int = 0) -> MissedInterval:
    """X of one ``day`` by the curve of all days of its ``bundle`` (that day among them), where the scores inform; else
    from the day's own audit alone."""
    by_sample = missed_by_sample([day], level=level)
    if not bundle.scores_inform:
        return by_sample
    random = np.random.default_rng(seed)
    curve = bundle.curve(random)
    missed = day.audit_positives + curve.missed(day.frame[~day.audited], random)
    return _curve_interval(missed.astype(np.float64), curve.weights, by_sample, [day], level=level)


def combined_days(parts: Sequence[AuditPart]) -> tuple[AuditPart, ...]:
    """One part for each language and bundle, in the order of their first days; its threshold is the mean by posts."""
    days: dict[tuple[str, str], list[AuditPart]] = {}
    for part in parts:
        days.setdefault((part.language, part.bundle), []).append(part)
    return tuple(_combined(same) if len(same) > 1 else same[0] for same in days.values())


def _combined(days: Sequence[AuditPart]) -> AuditPart:
    sizes = np.array([max(len(day.frame), 1) for day in days])
    return AuditPart(
        language=days[0].language,
        bundle=days[0].bundle,
        is_trained=days[0].is_trained,
        threshold=float(np.average([day.threshold for day in days], weights=sizes)),
        **{
            name: np.concatenate([getattr(day, name) for day in days])
            for name in ("read", "read_labels", "frame", "inclusion", "audited", "audit_labels")
        },
    )


def estimate_missed(parts: Sequence[AuditPart], *, level: float = LEVEL, seed: int = 0) -> MissedInterval:
    """X of all parts: by the curve where every part's scores inform, else from the audits alone."""
    if all(part.scores_inform for part in parts):
        return missed_by_curve(parts, level=level, seed=seed)
    return missed_by_sample(parts, level=level)


def level_of_looks(looks: int) -> float:
    """The level of each of ``looks`` intervals by which all of them hold together in 95% (Bonferroni)."""
    if looks < 1:
        raise ValueError(f"{looks} looks")
    return 1 - (1 - LEVEL) / looks


def estimate_audit(
    parts: Sequence[AuditPart], *, name: str, looks: int = 1, confirmed: bool = True, seed: int = 0
) -> AuditEstimate:
    """What one language, or all of them together, has missed.

    ``looks``: how often the estimate is looked at while the audit grows. ``confirmed``: whether every ADE that the
    audit found was confirmed by a second reader. Nothing is estimated, and a remark says why, without an audit of each
    part, or where ADEs are rare and were not confirmed.
    """
    level = level_of_looks(looks)
    if refused := _refusal(parts):
        return without_estimate(parts, name, level, refused)
    missed = estimate_missed(parts, level=level, seed=seed)
    true_positives = sum(part.true_positives for part in parts)
    read, unread = sum(len(part.read) for part in parts), sum(len(part.frame) for part in parts)
    prevalence = (true_positives + missed.value) / (read + unread)
    if not confirmed and prevalence < RARE and any(part.audit_positives for part in parts):
        reason = (
            f"Not estimated: ADEs are rare here ({prevalence:.1%} of the posts), and ADEs of the audit were read by "
            "one person alone; one false alarm in twenty would outnumber the missed ADEs. Have them read again."
        )
        return without_estimate(parts, name, level, reason)
    recall = (_recall(true_positives, missed.high), _recall(true_positives, missed.low))
    remarks = _remarks(parts, missed, half_width=(recall[1] - recall[0]) / 2)
    has_value = not any(remark.startswith("No single value") for remark in remarks)
    size = read + true_positives

    def estimate(value: float, low: float, high: float) -> Estimate:
        return Estimate(value=value if has_value else None, low=low, high=high)

    return without_estimate(parts, name, level, *remarks).model_copy(
        update={
            "method": missed.method,
            "missed": estimate(missed.value, missed.low, missed.high),
            "recall": estimate(_recall(true_positives, missed.value), *recall),
            "f1": estimate(*(2 * true_positives / max(size + x, 1) for x in (missed.value, missed.high, missed.low))),
            "recall_at_least": _recall(true_positives, missed.at_most),
            "missed_at_most": missed.at_most,
        }
    )


def _recall(true_positives: int, missed: float) -> float:
    return true_positives / (true_positives + missed) if true_positives + missed else 0.0


def without_estimate(parts: Sequence[AuditPart], name: str, level: float, *remarks: str) -> AuditEstimate:
    """What is counted alone."""
    return AuditEstimate(
        name=name,
        read=sum(len(part.read) for part in parts),
        true_positives=sum(part.true_positives for part in parts),
        unread=sum(len(part.frame) for part in parts),
        audited=sum(part.n_audited for part in parts),
        audit_positives=sum(part.audit_positives for part in parts),
        level=level,
        method=None,
        lift=min((part.lift for part in parts), default=0.0),
        slope=min((part.recalibration.slope for part in parts), default=1.0),
        missed=None,
        recall=None,
        f1=None,
        recall_at_least=None,
        missed_at_most=None,
        remarks=remarks,
    )


def _check_audited(parts: Sequence[AuditPart]) -> None:
    if refused := _refusal(parts):
        raise ValueError(refused)


def _refusal(parts: Sequence[AuditPart]) -> str:
    """Why nothing can be estimated; empty where something can."""
    if not any(len(part.read) or len(part.frame) for part in parts):
        return "Not estimated: there are no posts."
    if unaudited := sorted({part.language for part in parts if len(part.frame) and not part.n_audited}):
        return (
            f"Not estimated: none of the unread posts of {', '.join(unaudited)} was audited, so nothing is known of "
            "what was missed there. Draw an audit and have it read."
        )
    return ""


def _ades(number: int) -> str:
    return "no ADE" if not number else "1 ADE" if number == 1 else f"{number:,} ADEs"


def _remarks(parts: Sequence[AuditPart], missed: MissedInterval, *, half_width: float) -> tuple[str, ...]:
    audited, positives = sum(part.n_audited for part in parts), sum(part.audit_positives for part in parts)
    unread = sum(len(part.frame) for part in parts)
    everything = audited == unread
    reasons = []
    if not everything:
        if positives < FEWEST_MISSES:
            read = f"{audited:,} posts" if audited != 1 else "1 post"
            reasons.append(f"the audit of {read} found {_ades(positives)}")
        if audited <= MOST_BOUND_ONLY:
            so_many = f"{audited:,} audited posts carry" if audited != 1 else "1 audited post carries"
            reasons.append(f"{so_many} a bound, not a value (more than {MOST_BOUND_ONLY} do)")
        true_positives = sum(part.true_positives for part in parts)
        if true_positives < FEWEST_TRUE_POSITIVES:
            were = "were" if true_positives > 1 else "was"
            only = "only " if true_positives else ""
            reasons.append(f"{only}{_ades(true_positives)} {were} found by reading")
        if half_width > WIDEST:
            reasons.append(f"the interval of recall is {2 * half_width:.2f} wide")
    if uninformed := sorted({p.language for p in parts if not p.is_trained and p.lift < FEWEST_LIFT}):
        reasons.append(f"the bundle was not trained on {', '.join(uninformed)} and its scores say little there")
    remarks = [f"No single value is given: {'; '.join(reasons)}."] if reasons else []
    if missed.method == "sample" and not everything:
        remarks.append(_why_sample(parts))
    if not everything:
        remarks.append(NOT_RULED_OUT)
    return tuple(remarks)


def _why_sample(parts: Sequence[AuditPart]) -> str:
    if any(part.lift < FEWEST_LIFT for part in parts):
        return (
            f"The posts read hold less than {FEWEST_LIFT:g} times the share of ADEs of the others, so the scores say "
            "little here; the estimate rests on the audit alone."
        )
    return "The scores are mis-scaled here; the estimate rests on the audit alone, and the bundle needs calibration."


def percent(level: float) -> str:
    """A level as people write it: ``95%``, ``99.5%``."""
    return f"{100 * level:.4g}%"


def _clipped(parts: Sequence[AuditPart], missed: float) -> float:
    """An X brought into [k, M - n + k]: what the audit itself has seen."""
    positives = sum(part.audit_positives for part in parts)
    unseen = sum(len(part.frame) - part.n_audited for part in parts)
    return float(np.clip(missed, positives, positives + unseen))
