"""Metrics on a part of the posts: a language, a type, or one value of any column of the file.

In come labels, decisions and probabilities of all posts, and masks; out come slices with 95% intervals. A slice by a
column holds every value in every language, and every value over all languages, so that Russian tweets and Russian
reviews can be compared. No model is run and no text of a post is kept: evaluation.columns refuses such columns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.policy import ThresholdSource
from polyvigil.decide.tune import FEW_POSITIVES
from polyvigil.evaluation.groups import POOLED
from polyvigil.evaluation.intervals import Interval, average_precision_interval, f1_interval, share_interval
from polyvigil.metrics import Counts, average_precision, count, f1
from polyvigil.text.language import counted_when_pooled
from polyvigil.types import Frozen, Labels, Probabilities

MOST_VALUES = 30
NAME_LENGTH = 40
NO_VALUE = "(none)"


class CrossFitted(Frozen):
    """Metrics on dev posts, each decided by thresholds tuned on others (decide.crossfit), over several deals."""

    precision: float
    precision_interval: Interval
    recall: float
    recall_interval: Interval
    f1: float
    f1_interval: Interval
    flagged: float | None = None
    """Mean number of posts flagged; None in an evaluation that was stored before this was kept."""


class Slice(Frozen):
    """Metrics on some of the posts; intervals are 95%. Threshold fields are set where one threshold decided all."""

    name: str
    posts: int
    positives: int
    flagged: int
    tp: int
    fp: int
    fn: int
    tn: int
    precision: float
    precision_interval: Interval
    recall: float
    recall_interval: Interval
    f1: float
    f1_interval: Interval
    average_precision: float
    average_precision_interval: Interval
    cross_fitted: CrossFitted | None = None
    """Set where the thresholds were tuned on these very posts: the metrics to stand by."""
    threshold: float | None = None
    threshold_source: ThresholdSource | None = None
    validated: bool = True
    """False for a language that no member was trained on."""


class ValueSlice(Frozen):
    """The posts with one value of a column, in one language or pooled."""

    language: str
    """``pooled`` for all languages but the CADEC groups, which count where the value has no other posts."""
    few_positives: bool
    """Fewer than 20 (decide.tune.FEW_POSITIVES): the metrics can move a lot."""
    metrics: Slice
    """Its ``name`` is the value: ``(none)`` of empty cells, the first 39 characters and … of one longer than 40."""


class ColumnSlices(Frozen):
    """All posts by the values of one column."""

    column: str
    """As the file names it."""
    values: int
    """Distinct values, empty cells among them."""
    pooled: tuple[ValueSlice, ...]
    """By value, the most frequent first; beyond 30 values, the rest as ``(other, N values)`` at the end."""
    languages: tuple[ValueSlice, ...]
    """Languages in alphabetical order, in each its values in the order of ``pooled``."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column to slice by: its name in the file, and the cell of each post, (n_posts,), stripped; empty for none."""

    name: str
    cells: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What is known of all posts, (n_posts,) each; ``crossed`` (repeats, n_posts) on dev posts, else None."""

    labels: Labels
    languages: NDArray[np.str_]
    flags: NDArray[np.bool_]
    probabilities: Probabilities
    crossed: NDArray[np.bool_] | None = None


def slice_of(name: str, mask: NDArray[np.bool_], outcomes: Outcomes) -> Slice:
    """All metrics on the posts where ``mask`` (n_posts,) is true."""
    labels, probabilities = outcomes.labels[mask], outcomes.probabilities[mask]
    counts = count(labels, outcomes.flags[mask])
    return Slice(
        name=name,
        posts=int(np.count_nonzero(mask)),
        positives=counts.tp + counts.fn,
        flagged=counts.tp + counts.fp,
        tp=counts.tp,
        fp=counts.fp,
        fn=counts.fn,
        tn=counts.tn,
        precision=counts.precision,
        precision_interval=share_interval(counts.tp, counts.tp + counts.fp),
        recall=counts.recall,
        recall_interval=share_interval(counts.tp, counts.tp + counts.fn),
        f1=counts.f1,
        f1_interval=f1_interval(counts),
        average_precision=average_precision(labels, probabilities),
        average_precision_interval=average_precision_interval(labels, probabilities, outcomes.languages[mask].tolist()),
        cross_fitted=None if outcomes.crossed is None else _cross_fitted(labels, outcomes.crossed[:, mask]),
    )


def column_slices(column: Column, outcomes: Outcomes) -> ColumnSlices:
    """The posts by value of ``column``, and by language and value."""
    names, values = _value_names(column.cells)
    order = list(dict.fromkeys(names[value] for value in values))
    value_of_post = np.array([names[cell] for cell in column.cells.tolist()], dtype=np.str_)
    pooled, languages = [], []
    for value in order:
        mask = value_of_post == value
        counted = mask.copy()
        counted[mask] = counted_when_pooled(outcomes.languages[mask].tolist())
        pooled.append(_value_slice(POOLED, value, counted, outcomes))
    for language in sorted(set(outcomes.languages.tolist())):
        for value in order:
            mask = (outcomes.languages == language) & (value_of_post == value)
            if mask.any():
                languages.append(_value_slice(language, value, mask, outcomes))
    return ColumnSlices(column=column.name, values=len(values), pooled=tuple(pooled), languages=tuple(languages))


def _value_names(cells: NDArray[np.str_]) -> tuple[dict[str, str], list[str]]:
    """The name under which each value stands, and all values, the most frequent first, equal ones by value.

    Two long values that begin alike are numbered, so that they stay two rows.
    """
    posts = Counter(cells.tolist())
    values = sorted(posts, key=lambda value: (-posts[value], value))
    names: dict[str, str] = {}
    for value in values[:MOST_VALUES]:
        name = short_name(value) or NO_VALUE
        same = sum(short_name(known) == name for known in names)
        names[value] = f"{name} ({same + 1})" if same and len(value) > NAME_LENGTH else name
    rest = values[MOST_VALUES:]
    other = f"(other, {len(rest):,} {'value' if len(rest) == 1 else 'values'})"
    return {**names, **dict.fromkeys(rest, other)}, values


def short_name(value: str) -> str:
    """A value of a column as it may be shown: at most 40 characters, in one line."""
    plain = " ".join(value.split())
    return plain if len(plain) <= NAME_LENGTH else plain[: NAME_LENGTH - 1] + "…"


def _value_slice(language: str, value: str, mask: NDArray[np.bool_], outcomes: Outcomes) -> ValueSlice:
    metrics = slice_of(value, mask, outcomes)
    return ValueSlice(language=language, few_positives=metrics.positives < FEW_POSITIVES, metrics=metrics)


def _cross_fitted(labels: Labels, repeats: NDArray[np.bool_]) -> CrossFitted:
    """Metrics of the mean counts over the repeats; intervals are those of the whole numbers nearest to them."""
    tp = float(repeats[:, labels == 1].sum(axis=1).mean())
    flagged = float(repeats.sum(axis=1).mean())
    positives = int(np.count_nonzero(labels == 1))
    value = float(f1(tp, flagged - tp, positives - tp))
    hits, false = round(tp), round(flagged - tp)
    precision, recall = tp / flagged if flagged else 0.0, tp / positives if positives else 0.0
    return CrossFitted(
        precision=precision,
        precision_interval=_around(precision, share_interval(hits, hits + false)),
        recall=recall,
        recall_interval=_around(recall, share_interval(hits, positives)),
        f1=value,
        f1_interval=_around(value, f1_interval(Counts(hits, false, positives - hits, len(labels) - positives - false))),
        flagged=flagged,
    )


def _around(value: float, interval: Interval) -> Interval:
    return Interval(low=min(interval.low, value), high=max(interval.high, value))
