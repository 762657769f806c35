"""An Evaluation -> pass, warn or fail, each with the sentences that say why.

Posts that the thresholds were tuned on are judged by their cross-fitted metrics, in which each post is decided by
thresholds that never saw it: such a report warns, and fails only where those metrics do. What optimism stays is that of
members chosen on the same posts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.metrics import f1

Level = Literal["pass", "warn", "fail"]

_SEVERITY: tuple[Level, ...] = ("pass", "warn", "fail")
_SUMMARY: dict[Level, str] = {
    "pass": "The metrics below hold, within their intervals.",
    "warn": "The metrics below hold only with the cautions given here.",
    "fail": "These metrics do not support the use of this detector.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what came of it."""

    level: Level
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst level of its findings, which are always three: the posts, the F1, the cautions."""

    level: Level
    summary: str
    findings: tuple[Finding, ...]
    flag_all_f1: float
    """F1 of flagging every post, in [0, 1]: 2 s / (1 + s) for a share s of positives among the pooled posts."""

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(finding.sentence for finding in self.findings)


def verdict(evaluation: Evaluation) -> Verdict:
    """Fail: a pooled F1 not proven better than flagging all; warn: tuned on these posts, or any caution; else pass."""
    pooled = evaluation.pooled
    flag_all = float(f1(pooled.positives, pooled.posts - pooled.positives, 0))
    findings = (_posts(evaluation), _f1_finding(evaluation, flag_all), _cautions(len(evaluation.cautions)))
    level = max((finding.level for finding in findings), key=_SEVERITY.index)
    return Verdict(level, _SUMMARY[level], findings, flag_all)


def _posts(evaluation: Evaluation) -> Finding:
    if evaluation.same_set and evaluation.pooled.cross_fitted is None:
        return Finding("fail", "The thresholds were tuned on these very posts, so the metrics are optimistic.")
    if evaluation.same_set:
        return Finding("warn", "The thresholds were tuned on these very posts: stand by the cross-fitted metrics.")
    return Finding("pass", "The thresholds were tuned on another set of posts than this one.")


def _f1_finding(evaluation: Evaluation, flag_all: float) -> Finding:
    if not evaluation.pooled.positives:
        return Finding("fail", "None of these posts is labelled as an ADE, so they cannot show that any is found.")
    metric, low = "pooled F1", evaluation.pooled.f1_interval.low
    if evaluation.pooled.cross_fitted:
        metric, low = "cross-fitted pooled F1", evaluation.pooled.cross_fitted.f1_interval.low
    begins = f"The interval of the {metric} begins at {low:.3f}"
    if low <= flag_all:
        return Finding("fail", f"{begins}, no better than flagging every post ({flag_all:.3f}).")
    return Finding("pass", f"{begins}, above flagging every post ({flag_all:.3f}).")


def _cautions(number: int) -> Finding:
    if not number:
        return Finding("pass", "No caution was raised.")
    return Finding("warn", "One caution was raised." if number == 1 else f"{number:,} cautions were raised.")
