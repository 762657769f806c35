"""What a detector means for the people who read its output.

Posts to read, ADEs found and missed, at a budget or a recall.

In: labels, scores, thresholds' flags, and optionally the prevalence of the stream that will be read. Out: `Workload`,
JSON-ready, each value with an interval. The ranking curve is resampled (Beta draws along it) rather than posts, so
that a class of few positives keeps an honest width. Values are rates per 1,000 posts unless their name says
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.groups import POOLED, groups_of
from polyvigil.evaluation.intervals import LEVEL, Interval, entry_ranks, share_interval
from polyvigil.metrics import Counts, count
from polyvigil.types import Frozen, Labels, Probabilities


class BudgetRecall(Frozen):
    """The share of ADEs found by reading the ``budget`` highest-scored posts (all, where there are fewer).

    Recall is 0 and its interval [0, 1] without ADEs; the interval is a point only where all posts are read or are ADEs.
    """

    budget: int
    recall: float
    """Of posts with the score at which the budget ends, as many as fit are read, in random order: the mean."""
    interval: Interval


class ReadingShare(Frozen):
    """How far down the ranking a reader must go to have found the share ``recall`` of the ADEs."""

    recall: float
    posts: int
    """Posts read, those of the last score all together; all posts where there is no ADE."""
    share: float
    interval: Interval


class PostsPerAde(Frozen):
    """Flagged posts read for each ADE found, 1 / precision; None stands for "no bound", as where none is found."""

    value: float | None
    low: float
    high: float | None


class PredictiveValue(Frozen):
    """The share of ADEs among flagged posts, were ``prevalence`` the share of ADEs among all posts."""

    prevalence: float
    value: float
    interval: Interval


class ReviewSlice(Frozen):
    """Workload values on some of the posts."""

    name: str
    posts: int
    positives: int
    budgets: tuple[BudgetRecall, ...]
    reading: tuple[ReadingShare, ...]
    per_ade: PostsPerAde
    predictive_value: PredictiveValue | None = None


class Workload(Frozen):
    """Workload values, pooled (without the CADEC groups) and by language group in alphabetical order."""

    pooled: ReviewSlice
    languages: tuple[ReviewSlice, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """Draws of one ranking's curve, each from (0, 0) to (1, 1) and straight in between: (rounds, n_points)."""

    recall: NDArray[np.float64]
    false_rate: NDArray[np.float64]
    positives: int
    negatives: int

    def recall_after(self, posts: float) -> NDArray[np.float64]:
        """Recall when the ``posts`` highest scores are read, in [0, 1]: (rounds,)."""
        return self._by_rows(lambda rows: _crossing(self._read(rows), self.recall[rows], posts))

    def read_for(self, recall: float) -> NDArray[np.float64]:
        """Share of posts to read for a ``recall``, in [0, 1]: (rounds,)."""
        crossing = self._by_rows(lambda rows: _crossing(self.recall[rows], self._read(rows), recall))
        return crossing / (self.positives + self.negatives)

    def _by_rows(self, values_of: Callable[[slice], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Values of all draws, a few of them at a time: what is computed on the way is as large as the curves."""
        starts = range(0, len(self.recall), _ROWS_PER_CHUNK)
        return np.concatenate([values_of(slice(start, start + _ROWS_PER_CHUNK)) for start in starts])

    def _read(self, rows: slice) -> NDArray[np.float64]:
        return self.positives * self.recall[rows] + self.negatives * self.false_rate[rows]


def sample_curves(labels: Labels, probabilities: Probabilities, *, rounds: int, random: np.random.Generator) -> Curves:
    """Curves of (n_posts,) scores, equal ones entering together. Raises ValueError without positives."""
    ranks = entry_ranks(labels, probabilities)
    above = np.bincount(ranks[labels == 1]).astype(np.float64)
    if not len(above):
        raise ValueError("no positives")
    false_above = np.bincount(ranks[labels == 0], minlength=len(above) + 1).astype(np.float64)
    false_above[[0, -1]] += 0.5
    above = np.append(above, 1.0)
    if len(above) > _MOST_POINTS:  # sums of Dirichlet shares are Dirichlet: the points that stay have the law they had
        starts = np.unique(np.linspace(0, len(above), _MOST_POINTS, endpoint=False).astype(np.int64))
        above, false_above = np.add.reduceat(above, starts), np.add.reduceat(false_above, starts)
    return Curves(
        _cumulated(random, above, rounds),
        _cumulated(random, false_above, rounds),
        int(np.count_nonzero(labels == 1)),
        int(np.count_nonzero(labels == 0)),
    )


def _cumulated(random: np.random.Generator, masses: NDArray[np.float64], rounds: int) -> NDArray[np.float64]:
    """Cumulated shares of a Dirichlet law, with a 0 before them: (rounds, len(masses) + 1), the last 1."""
    sampled = np.zeros((rounds, len(masses) + 1))
    for start in range(0, rounds, _ROWS_PER_CHUNK):  # the same draws as all at once: they are made row by row
        rows = sampled[start : start + _ROWS_PER_CHUNK]
        np.cumsum(random.standard_gamma(masses, size=(len(rows), len(masses))), axis=1, out=rows[:, 1:])
        rows /= rows[:, -1:].copy()
    return sampled


def _crossing(x: NDArray[np.float64], y: NDArray[np.float64], at: float) -> NDArray[np.float64]:
    """Where each row's line through (x, y), x rising from 0, first reaches ``at`` (at most the row's last x)."""
    right = np.clip((x < at).sum(axis=1), 1, x.shape[1] - 1)[:, None]
    x0, x1, y0, y1 = (
        np.take_along_axis(*pair, axis=1)[:, 0] for pair in ((x, right - 1), (x, right), (y, right - 1), (y, right))
    )
    share = np.divide(at - x0, x1 - x0, out=np.ones_like(x0), where=x1 > x0)
    return y0 + np.clip(share, 0.0, 1.0) * (y1 - y0)


ROUNDS = 2_000
_ROWS_PER_CHUNK = 100  # draws of a curve
_MOST_POINTS = 5_000  # of a curve that is drawn, which is straight between them: memory does not grow with the posts
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
    """Workload values for (n_posts,) labels, scores and flags; ``budgets`` are posts of each row of the table.

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

    Both rates are sampled from their Beta posteriors as in ``f1_interval``. [0, 1] where one class is missing.
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
