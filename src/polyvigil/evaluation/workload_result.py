"""What a detector means for those who read: the figures, as they are told. Intervals are central 95% ones."""

from __future__ import annotations

from polyvigil.evaluation.intervals import Interval
from polyvigil.types import Frozen


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
    """The reader's figures on some of the posts."""

    name: str
    posts: int
    positives: int
    budgets: tuple[BudgetRecall, ...]
    reading: tuple[ReadingShare, ...]
    per_ade: PostsPerAde
    predictive_value: PredictiveValue | None = None


class Workload(Frozen):
    """The reader's figures, pooled (without the CADEC groups) and by language group in alphabetical order."""

    pooled: ReviewSlice
    languages: tuple[ReviewSlice, ...]
