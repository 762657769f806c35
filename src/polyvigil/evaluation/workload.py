"""What a detector means for those who read: how much they find, and how many posts that takes.

Intervals are central 95% ones for the sampling of posts. Pooled rankings mix languages by their scores as they are,
though each language has its own threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.curves import Curves, sample_curves
from polyvigil.evaluation.groups import POOLED, groups_of
from polyvigil.evaluation.intervals import LEVEL, Interval, share_interval
from polyvigil.evaluation.workload_result import (
    BudgetRecall,
    PostsPerAde,
    PredictiveValue,
    ReadingShare,
    ReviewSlice,
    Workload,
)
from polyvigil.metrics import Counts, count
from polyvigil.types import Labels, Probabilities

ROUNDS = 2_000
RECALLS = (0.8, 0.9, 0.95)
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_ANYTHING = Interval(low=0.0, high=1.0)


def workload(
    labels: Labels,
    probabilities: Probabilities,
    flags: NDArray[np.bool_],
    languages: Sequence[str],
    *,
    budgets: Sequence[int] = (),
    recalls: Sequence[float] = RECALLS,
    prevalence: float | None = None,
) -> Workload:
    """The reader's figures for (n_posts,) labels, scores and flags; ``budgets`` are posts of each row of the table.

    ``prevalence``, in (0, 1), is the share of ADEs where the detector will work. Deterministic. Raises ValueError when
    there are no posts, the shapes differ, or an option is out of its range.
    """
    if not labels.shape == probabilities.shape == flags.shape == (len(languages),):
        raise ValueError("labels, probabilities, flags and languages are not equally many")
    if not all(budget > 0 for budget in budgets) or not all(0 < recall <= 1 for recall in recalls):
        raise ValueError("a budget must be above 0, a recall in (0, 1]")
    groups = groups_of(languages)

    def part(name: str, mask: NDArray[np.bool_]) -> ReviewSlice:
        counts = count(labels[mask], flags[mask])
        ranked = _Ranked(labels[mask], probabilities[mask])
        return ReviewSlice(
            name=name,
            posts=int(np.count_nonzero(mask)),
            positives=counts.tp + counts.fn,
            budgets=tuple(ranked.within(budget) for budget in budgets),
            reading=tuple(ranked.reading(recall) for recall in recalls),
            per_ade=posts_per_ade(counts),
            predictive_value=None if prevalence is None else predictive_value(counts, prevalence=prevalence),
        )

    slices = tuple(part(name, mask) for name, mask in groups.languages.items())
    return Workload(pooled=part(POOLED, groups.pooled), languages=slices)


def posts_per_ade(counts: Counts) -> PostsPerAde:
    """1 / precision with 1 / Jeffreys' interval of precision, each at least 1."""
    share = share_interval(counts.tp, counts.tp + counts.fp)
    return PostsPerAde(
        value=1 / counts.precision if counts.tp else None,
        low=1 / share.high,
        high=1 / share.low if share.low else None,
    )


def predictive_value(counts: Counts, *, prevalence: float) -> PredictiveValue:
    """Precision at another ``prevalence`` by Bayes' rule, recall and false-positive rate staying what they are.

    Both rates are drawn from their Beta posteriors as in ``f1_interval``. [0, 1] where one class is missing.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence {prevalence} is not between 0 and 1")
    positives, negatives = counts.tp + counts.fn, counts.fp + counts.tn
    value = _bayes(np.array(counts.recall), np.array(counts.fp / negatives if negatives else 0.0), prevalence)
    if not positives or not negatives:
        return PredictiveValue(prevalence=prevalence, value=float(value), interval=_ANYTHING)
    random = np.random.default_rng(0)
    recall = random.beta(counts.tp + 0.5, counts.fn + 0.5, 2 * ROUNDS)
    false_rate = random.beta(counts.fp + 0.5, counts.tn + 0.5, 2 * ROUNDS)
    interval = _central(_bayes(recall, false_rate, prevalence), float(value))
    return PredictiveValue(prevalence=prevalence, value=float(value), interval=interval)


def _bayes(recall: NDArray[np.float64], false_rate: NDArray[np.float64], prevalence: float) -> NDArray[np.float64]:
    right, wrong = prevalence * recall, (1 - prevalence) * false_rate
    return np.divide(right, right + wrong, out=np.zeros_like(right), where=right + wrong > 0)


class _Ranked:
    """Posts from the highest score down, equal scores together, and draws of their curve."""

    def __init__(self, labels: Labels, probabilities: Probabilities) -> None:
        order = np.argsort(-probabilities, kind="stable")
        last = np.flatnonzero(np.diff(probabilities[order], append=-1.0))
        self.read = np.append(0, last + 1)
        self.hits = np.append(0, np.cumsum(labels[order] == 1)[last])
        self.curves: Curves | None = None
        if self.hits[-1]:
            self.curves = sample_curves(labels, probabilities, rounds=ROUNDS, random=np.random.default_rng(0))

    def within(self, budget: int) -> BudgetRecall:
        if self.curves is None:
            return BudgetRecall(budget=budget, recall=0.0, interval=_ANYTHING)
        recall = float(np.interp(budget, self.read, self.hits / self.hits[-1]))
        if budget >= self.read[-1]:
            return BudgetRecall(budget=budget, recall=1.0, interval=Interval(low=1.0, high=1.0))
        return BudgetRecall(budget=budget, recall=recall, interval=_central(self.curves.recall_after(budget), recall))

    def reading(self, recall: float) -> ReadingShare:
        posts = int(self.read[-1])
        if self.curves is None:
            return ReadingShare(recall=recall, posts=posts, share=1.0, interval=_ANYTHING)
        needed = int(self.read[np.searchsorted(self.hits, recall * self.hits[-1] - 1e-9)])
        sampled = self.curves.read_for(recall)
        share = needed / posts
        return ReadingShare(recall=recall, posts=needed, share=share, interval=_central(sampled, share))


def _central(sampled: NDArray[np.float64], value: float) -> Interval:
    low, high = np.quantile(sampled, _TAILS)
    return Interval(low=float(min(low, value)), high=float(max(high, value)))
