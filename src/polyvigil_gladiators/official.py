"""Table 3, the official result: the test F1 of the 3-seed ensemble beside that of the competition, and its dev F1.

Decided as the paper's code decides: a language with dev posts by its threshold, Farsi and the CADEC reviews by the mean
of these thresholds, though the CADEC dev posts would give them thresholds of their own.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.policy import DecisionPolicy, flagged
from polyvigil.evaluation.dev_comparison import Rates, f1_difference
from polyvigil.evaluation.evaluate import Evaluation, Slice
from polyvigil.evaluation.groups import POOLED, groups_of
from polyvigil.evaluation.intervals import Interval, f1_interval
from polyvigil.metrics import Counts, count
from polyvigil.text.language import is_cadec
from polyvigil.types import Labels
from polyvigil_gladiators import paper, plan
from polyvigil_gladiators.context import Context, Result, judged
from polyvigil_gladiators.measure import f1_of, mean_scores, together, whole
from polyvigil_gladiators.plan import Row
from polyvigil_gladiators.result import Measured, Metric


def table3(context: Context, row: Row) -> list[Metric]:
    """Test F1, dev F1 and their difference, for each language and for all."""
    metrics = []
    for official in paper.TABLE3:
        values = {
            "test F1": official.f1,
            "dev F1": official.dev_f1,
            "gap": paper.GAPS.get(official.language, official.gap),
        }
        for what, value in values.items():
            if value is None:
                continue
            is_test = what == "test F1"
            blank = Metric(
                table="table3",
                row=official.language,
                what=what,
                paper=value,
                decimals=3,
                competition_mean=official.mean if is_test else None,
                competition_median=official.median if is_test else None,
                verdict="not judged",
            )
            metrics.append(judged(blank, context, row, partial(_measure, what=what, language=official.language)))
    return metrics


def _measure(context: Context, *, what: str, language: str) -> Result | None:
    record = context.records[plan.SEEDS]
    if what == "dev F1":
        part = _slice(together([whole(record)]), language)
        return Result(f1_of(part)) if part else None
    assert context.test is not None
    labels, languages = context.test.labels, np.array([post.language for post in context.test.posts])
    chosen = groups_of(languages.tolist()).pooled if language == paper.ALL else languages == language
    if not chosen.any():
        return None
    flags = paper_flags(mean_scores(context.scores[plan.SEEDS]), record.policy, languages)
    counts = count(labels[chosen], flags[chosen])
    if what == "test F1":
        notes = _by_own_thresholds(context, labels, languages, language)
        return Result(Measured(value=counts.f1, interval=f1_interval(counts), flagged=counts.tp + counts.fp), notes)
    part = _slice(together([whole(record)]), language)
    if part is None:
        return None
    return Result(_difference(counts, part))


def paper_flags(
    probabilities: NDArray[np.float64], policy: DecisionPolicy, languages: NDArray[np.str_]
) -> NDArray[np.bool_]:
    """Which posts the paper's code flags, (n_posts,): CADEC reviews by the mean of the languages' thresholds."""
    thresholds = [
        policy.fallback.value if is_cadec(name) else policy.threshold(name).value for name in languages.tolist()
    ]
    return flagged(probabilities, np.array(thresholds, dtype=np.float64))


def _by_own_thresholds(context: Context, labels: Labels, languages: NDArray[np.str_], language: str) -> tuple[str, ...]:
    """Of CADEC reviews: what thresholds of their own would give."""
    record = context.records[plan.SEEDS]
    if not is_cadec(language) or language not in record.policy.thresholds:
        return ()
    chosen = languages == language
    flags = record.policy.flags(mean_scores(context.scores[plan.SEEDS]), languages.tolist())
    own_threshold_f1 = count(labels[chosen], flags[chosen]).f1
    return (
        f"at the threshold of its own dev posts F1 is {own_threshold_f1:.3f}; the paper's code has the "
        "mean of the six languages'",
    )


def _difference(test: Counts, part: Slice) -> Measured:
    """Test F1 less dev F1, which are of different posts."""
    new = Rates(test.tp, test.fp, test.tp + test.fn, test.fp + test.tn)
    dev = Rates(part.tp, part.fp, part.positives, part.posts - part.positives)
    gap = f1_difference(new, dev, np.random.default_rng(0))
    crossed = part.cross_fitted
    return Measured(
        value=gap.difference,
        interval=Interval(low=gap.low, high=gap.high),
        cross_fitted=test.f1 - crossed.f1 if crossed else None,
    )


def _slice(evaluation: Evaluation, language: str) -> Slice | None:
    if language == paper.ALL:
        return evaluation.pooled if evaluation.pooled.name == POOLED else None
    return next((part for part in evaluation.languages if part.name == language), None)
