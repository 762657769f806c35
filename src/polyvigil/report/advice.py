"""What whoever must decide should do: where to rely on the flags, how much to read, what not to use it for.

In: an Evaluation. Out: findings in the order in which they are read, each with its level: where a language's recall
cannot be told from that of flagging as many posts at random, that is a failure and no caution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from polyvigil.decide.tune import FEW_POSITIVES
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.slices import CrossFitted, Slice
from polyvigil.evaluation.workload import ReadingShare
from polyvigil.metrics import f1
from polyvigil.report.verdict import Finding

_RECALL = 0.8
_DETAILED = 6  # languages of one kind that are named with their recall; more are named alone
_PER = 1000  # posts that the amount of reading is given for


def advice(evaluation: Evaluation) -> tuple[Finding, ...]:
    """At least two findings: what is said of the languages, and what it is not for."""
    relied, chance, few, unlearned, empty, unproven = _sorted(evaluation.languages, same_set=evaluation.same_set)
    findings = []
    if relied:
        findings.append(Finding("pass", f"Rely on its flags, as a triage aid, in {_recalls(relied)}."))
    if unlearned:
        names = _names(unlearned)
        findings.append(
            Finding("warn", f"In {names} no member learned from labels: what it finds here may not hold elsewhere.")
        )
    if chance:
        why = "the recall cannot be told from that of flagging as many posts at random"
        findings.append(Finding("fail", f"Do not use its flags in {_chances(chance)}: {why}."))
    if few:
        findings.append(
            Finding("warn", f"In {_names(few)} fewer than {FEW_POSITIVES} ADEs were there: too few to rely on it yet.")
        )
    if unproven:
        optimistic = evaluation.same_set and evaluation.pooled.cross_fitted is None
        why = "the thresholds were tuned on these very posts"
        why = why if optimistic else "its F1 cannot be told from that of flagging every post"
        findings.append(Finding("fail", f"Do not rely on it in {_names(unproven)}: {why}."))
    if empty:
        findings.append(Finding("warn", f"In {_names(empty)} no ADE was there: nothing can be said."))
    findings += [_reading(one, evaluation) for one in evaluation.workload.pooled.reading if one.recall == _RECALL]
    findings.append(
        Finding(
            "warn",
            "Not for other languages or sources than these, not to count ADEs (polyvigil estimate does, from a sample "
            "that people have read), and never for a medical or regulatory decision.",
        )
    )
    return tuple(findings)


def is_chance(part: Slice) -> bool:
    """Whether the recall of a slice with positives cannot be told from the share of its posts that is flagged."""
    rates = part.cross_fitted or part
    flagged = part.flagged if rates.flagged is None else rates.flagged
    return part.positives > 0 and rates.recall_interval.low <= flagged / part.posts


def beats_flagging_all(part: Slice) -> bool:
    """Whether the interval of F1 begins above the F1 of flagging every post, as in the verdict."""
    return (part.cross_fitted or part).f1_interval.low > float(f1(part.positives, part.posts - part.positives, 0))


def _sorted(languages: Sequence[Slice], *, same_set: bool) -> tuple[list[Slice], ...]:
    """Relied on, at chance, too few positives, without a member that learned them, without positives, not proven."""
    kinds: tuple[list[Slice], ...] = ([], [], [], [], [], [])
    for part in languages:
        if not part.positives:
            kinds[4].append(part)
        elif is_chance(part):
            kinds[1].append(part)
        elif not part.validated:
            kinds[3].append(part)
        elif part.positives < FEW_POSITIVES:
            kinds[2].append(part)
        elif (same_set and part.cross_fitted is None) or not beats_flagging_all(part):
            kinds[5].append(part)
        else:
            kinds[0].append(part)
    return kinds


def _reading(reading: ReadingShare, evaluation: Evaluation) -> Finding:
    """How much to read for the recall; no better than reading at random where the interval holds that."""
    pooled = evaluation.workload.pooled
    low, high = (round(_PER * share) for share in (reading.interval.low, reading.interval.high))
    begins = f"To find {reading.recall:.0%} of the ADEs, read the {round(_PER * reading.share):,} highest"
    ends = f"of every {_PER:,} posts (95%: {low:,} to {high:,})"
    if not pooled.positives:
        return Finding("warn", "How much to read cannot be said: no ADE was there.")
    if reading.interval.high >= reading.recall:
        return Finding("fail", f"{begins} {ends}: that may be as many as without the scores.")
    share = pooled.positives / pooled.posts
    return Finding("pass", f"{begins} {ends}, where {share:.1%} of posts are ADEs as here.")


def _recalls(parts: Sequence[Slice]) -> str:
    return _named(parts, lambda rates: f"recall {rates.recall:.2f}, at least {rates.recall_interval.low:.2f}")


def _chances(parts: Sequence[Slice]) -> str:
    def recall(rates: Slice | CrossFitted) -> str:
        return f"recall {rates.recall:.2f}, {rates.recall_interval.low:.2f} to {rates.recall_interval.high:.2f}"

    return _named(parts, recall)


def _named(parts: Sequence[Slice], detail: Callable[[Slice | CrossFitted], str]) -> str:
    """Each slice with what is said of it; many are named alone."""
    if len(parts) > _DETAILED:
        return _names(parts)
    return _listed([f"{part.name} ({detail(part.cross_fitted or part)})" for part in parts])


def _names(parts: Sequence[Slice]) -> str:
    return _listed([part.name for part in parts])


def _listed(texts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
