"""What the pictures of a report show, as data: curves of at most 200 points and histograms, language by language.

The drawing (assess.drawing) only maps these numbers to places on paper. Reliability diagrams are drawn from the bins of
assess.reliability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.policy import flagged
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import paper_grid
from polyvigil.metrics import count, f1
from polyvigil.types import Frozen, Labels, Probabilities

MOST_LANGUAGES = 24
MOST_POINTS = 200
THRESHOLDS: NDArray[np.float64] = np.arange(1, MOST_POINTS) / MOST_POINTS
BINS = 20


class LanguageChartData(Frozen):
    """The curves of one language's posts; those that need positives are empty without any."""

    name: str
    recall: tuple[float, ...]
    """Rising; of every cut at which a positive enters the ranking, or of 200 of them, the last always among them."""
    precision: tuple[float, ...]
    """At the same cuts. The area under the steps is the average precision (of all cuts)."""
    f1: tuple[float, ...]
    """F1 at each of ``Pictures.thresholds``."""
    positives: tuple[int, ...]
    """Positives by probability: in BINS equal bins of [0, 1], each without its upper end but the last."""
    negatives: tuple[int, ...]
    """Negatives in the same bins."""
    grid_threshold: float | None
    """What the paper's grid chooses on this language's dev posts; None where they hold one class."""
    grid_f1: float | None
    """F1 of that threshold on these posts."""


class ChartData(Frozen):
    """Of the languages with most positives, by name."""

    thresholds: tuple[float, ...]
    languages: tuple[LanguageChartData, ...]
    left_out: tuple[str, ...]
    """Languages beyond the first MOST_LANGUAGES, which are in the tables only."""


def chart_data(labels: Labels, probabilities: Probabilities, languages: Sequence[str], *, dev: DevScores) -> ChartData:
    """Curves of (n_posts,) labels and scores; ``dev``: the stored dev scores, on which the paper's grid chooses."""
    names = np.asarray(languages)
    present = sorted(set(languages), key=lambda name: (-int(labels[names == name].sum()), name))
    return ChartData(
        thresholds=tuple(THRESHOLDS.tolist()),
        languages=tuple(
            _language(name, labels[names == name], probabilities[names == name], dev.of(name))
            for name in sorted(present[:MOST_LANGUAGES])
        ),
        left_out=tuple(sorted(present[MOST_LANGUAGES:])),
    )


def _language(name: str, labels: Labels, probabilities: Probabilities, dev: DevScores) -> LanguageChartData:
    some = bool((labels == 1).any())
    recall, precision = recall_precision(labels, probabilities)
    grid = paper_grid(dev.probabilities, dev.labels).threshold if dev.usable else None
    return LanguageChartData(
        name=name,
        recall=tuple(recall.tolist()),
        precision=tuple(precision.tolist()),
        f1=tuple(f1_at(labels, probabilities, THRESHOLDS).tolist()) if some else (),
        positives=_histogram(probabilities[labels == 1]),
        negatives=_histogram(probabilities[labels == 0]),
        grid_threshold=grid,
        grid_f1=count(labels, flagged(probabilities, grid)).f1 if some and grid is not None else None,
    )


def recall_precision(
    labels: Labels, probabilities: Probabilities, *, most: int = MOST_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision at the cuts where positives enter, thinned evenly to ``most``; each (n_points,)."""
    order = np.argsort(-probabilities, kind="stable")
    tp = np.cumsum(labels[order] == 1)
    last = np.flatnonzero(np.diff(probabilities[order], append=-1.0))
    entering = last[np.diff(tp[last], prepend=0) > 0]
    if len(entering) > most:
        entering = entering[np.unique(np.linspace(0, len(entering) - 1, most).round().astype(np.int64))]
    return tp[entering] / max(int(tp[-1]), 1), tp[entering] / (entering + 1)


def f1_at(labels: Labels, probabilities: Probabilities, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of flagging p >= t for each of rising ``thresholds``: (n_thresholds,)."""
    positives, negatives = np.sort(probabilities[labels == 1]), np.sort(probabilities[labels == 0])
    tp, fp = (len(side) - np.searchsorted(side, thresholds, side="left") for side in (positives, negatives))
    return f1(tp, fp, len(positives) - tp)


def _histogram(probabilities: Probabilities) -> tuple[int, ...]:
    counts, _ = np.histogram(probabilities, bins=BINS, range=(0.0, 1.0))
    return tuple(counts.tolist())
