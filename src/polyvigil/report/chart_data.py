"""What the charts and lists of a report show, as data: curves, histograms, and the surest mistakes on request.

In: an evaluation's labels and scores. Out: `ChartData` and `Mistake`. report/charts.py only maps these numbers to SVG.
Mistakes hold the text of posts and are made on request alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.score import TextForm
from polyvigil.decide.policy import DecisionPolicy, flagged
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import paper_grid
from polyvigil.metrics import count, f1
from polyvigil.text.mask import mask
from polyvigil.types import Frozen, Labels, Post, Probabilities

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


def chart_data(
    labels: Labels,
    probabilities: Probabilities,
    languages: Sequence[str],
    *,
    dev: DevScores,
    abstained: NDArray[np.bool_] | None = None,
) -> ChartData:
    """Curves of (n_posts,) labels and scores; ``dev``: the stored dev scores, on which the paper's grid chooses.

    ``abstained`` (n_posts,): posts that no threshold flags. They have their place in rankings and histograms.
    """
    names = np.asarray(languages)
    decides = np.ones(len(labels), dtype=np.bool_) if abstained is None else ~abstained
    present = sorted(set(languages), key=lambda name: (-int(labels[names == name].sum()), name))
    return ChartData(
        thresholds=tuple(THRESHOLDS.tolist()),
        languages=tuple(
            _language(
                name, labels[names == name], probabilities[names == name], dev.of(name), decides=decides[names == name]
            )
            for name in sorted(present[:MOST_LANGUAGES])
        ),
        left_out=tuple(sorted(present[MOST_LANGUAGES:])),
    )


def _language(
    name: str, labels: Labels, probabilities: Probabilities, dev: DevScores, *, decides: NDArray[np.bool_]
) -> LanguageChartData:
    some = bool((labels == 1).any())
    flaggable = np.where(decides, probabilities, -1.0)
    recall, precision = recall_precision(labels, probabilities)
    grid = paper_grid(dev.probabilities, dev.labels).threshold if dev.usable else None
    return LanguageChartData(
        name=name,
        recall=tuple(recall.tolist()),
        precision=tuple(precision.tolist()),
        f1=tuple(f1_at(labels, flaggable, THRESHOLDS).tolist()) if some else (),
        positives=_histogram(probabilities[labels == 1]),
        negatives=_histogram(probabilities[labels == 0]),
        grid_threshold=grid,
        grid_f1=count(labels, flagged(flaggable, grid)).f1 if some and grid is not None else None,
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


MOST = 20
MOST_CHARACTERS = 500
PII_WARNING = (
    "this holds posts word for word, which may name or identify people: keep it where the posts may be kept, and send "
    "it to nobody who may not read them"
)


class Mistake(Frozen):
    """One post on which decision and label differ."""

    kind: Literal["false positive", "false negative"]
    id: str
    language: str
    type: str
    p: float
    threshold: float
    text: str
    """As it was read, or masked (text.mask); of a longer one the first 500 characters. Empty where it is left out."""
    shortened: bool


def mistakes(
    posts: Sequence[Post],
    labels: Labels,
    probabilities: Probabilities,
    policy: DecisionPolicy,
    *,
    most: int,
    abstained: NDArray[np.bool_] | None = None,
    form: TextForm = "whole",
) -> tuple[Mistake, ...]:
    """In each language ``most`` false positives of the highest p, then as many false negatives of the lowest.

    ``abstained`` (n_posts,): posts that are not flagged whatever their p; their threshold is given as 1, as by scoring.
    ``form``: of the texts.
    Languages by name; of equal p the first in the file. Raises ValueError when ``most`` is not 1 to MOST.
    """
    if not 1 <= most <= MOST:
        raise ValueError(f"{most} posts of each kind; 1 to {MOST} can be shown")
    names = np.array([post.language for post in posts], dtype=np.str_)
    thresholds = policy.post_thresholds(names.tolist())
    flags = flagged(probabilities, thresholds)
    if abstained is not None:
        flags, thresholds = flags & ~abstained, np.where(abstained, 1.0, thresholds)
    return tuple(
        _mistake(posts[index], kind, float(probabilities[index]), float(thresholds[index]), form)
        for name in sorted(set(names.tolist()))
        for kind, index in _mistake_indices(names == name, labels, probabilities, flags, most)
    )


_Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
_Kind = Literal["false positive", "false negative"]


def _mistake_indices(
    mask: _Mask, labels: Labels, p: Probabilities, flags: _Mask, most: int
) -> Iterator[tuple[_Kind, int]]:
    false_positives = np.flatnonzero(mask & flags & (labels == 0))
    false_negatives = np.flatnonzero(mask & ~flags & (labels == 1))
    for index in false_positives[np.argsort(-p[false_positives], kind="stable")][:most].tolist():
        yield "false positive", index
    for index in false_negatives[np.argsort(p[false_negatives], kind="stable")][:most].tolist():
        yield "false negative", index


def _mistake(post: Post, kind: _Kind, p: float, threshold: float, form: TextForm) -> Mistake:
    # Masked before it is cut, which might leave half of a name.
    text = "" if form == "dropped" else mask(post.text) if form == "masked" else post.text
    return Mistake(
        kind=kind,
        id=post.id,
        language=post.language,
        type=post.type,
        p=p,
        threshold=threshold,
        text=text[:MOST_CHARACTERS],
        shortened=len(text) > MOST_CHARACTERS,
    )
