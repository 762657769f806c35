"""Confidence intervals of metrics on one set of posts.

In: counts, or labels and scores with their strata. Out: `Interval`, 95% unless said otherwise, low <= high. Shares
and F1 of one confusion table get closed forms or beta draws; average precision and macro F1, which are no function of
one table, get a stratified bootstrap. Nothing here reads a model; the same input and seed give the same interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri, stdtrit

from polyvigil.metrics import Counts, average_precision, f1
from polyvigil.progress import report_share
from polyvigil.types import Frozen, Labels, Probabilities

LEVEL = 0.95
_SAMPLES = 4000


class Interval(Frozen):
    """A central 95% interval; 0 <= low <= high <= 1."""

    low: float
    high: float


def share_interval(part: int, whole: int) -> Interval:
    """Jeffreys' interval of a share (precision, recall): [0, 1] of none, closed at a bound that is reached."""
    if whole == 0:
        return Interval(low=0.0, high=1.0)
    tail = (1 - LEVEL) / 2
    low, high = betaincinv(part + 0.5, whole - part + 0.5, [tail, 1 - tail])
    return Interval(low=0.0 if part == 0 else float(low), high=1.0 if part == whole else float(high))


def f1_interval(counts: Counts) -> Interval:
    """Interval of F1 for as many positives and negatives as were seen; [0, 1] without positives.

    Deterministic: the draws of one table are the same in every run.
    """
    positives, negatives = counts.tp + counts.fn, counts.fp + counts.tn
    if positives == 0:
        return Interval(low=0.0, high=1.0)
    random = np.random.default_rng(0)
    tp = positives * random.beta(counts.tp + 0.5, counts.fn + 0.5, _SAMPLES)
    fp = negatives * random.beta(counts.fp + 0.5, counts.tn + 0.5, _SAMPLES)
    sampled = f1(tp, fp, positives - tp)
    low, high = np.quantile(sampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(low=float(min(low, counts.f1)), high=float(max(high, counts.f1)))


ROUNDS = 2_000
_RESAMPLES_PER_CHUNK = 250  # resamples held in memory together
_NUMBERS_PER_CHUNK = 5_000_000  # 40 MB, and as much again for their sums
_NUMBERS_SAMPLED = 2_000_000  # at once
_FULL_ROUNDS = 10_000  # distinct scores of positives; with more of them fewer resamples are as good and no slower
_FEWEST_ROUNDS = 250
_TAIL = (1 - LEVEL) / 2


def average_precision_interval(
    labels: Labels, probabilities: Probabilities, strata: Sequence[str] | None = None, *, rounds: int = ROUNDS
) -> Interval:
    """95% interval of the average precision of (n_posts,) scores; ``strata`` are the languages of pooled posts.

    Deterministic. [0, 1] without positives. It holds the metric itself, and is never a point.
    """
    positives = int(np.count_nonzero(labels == 1))
    if not positives:
        return Interval(low=0.0, high=1.0)
    value = average_precision(labels, probabilities)
    ranks = entry_ranks(labels, probabilities)[None]
    sampled = resampled_average_precision(labels, ranks, strata, rounds=rounds)[:, 0]
    variance = float(sampled.var())
    number, bernoulli_variance = 2.0 * positives, value * (1 - value)
    if 0 < bernoulli_variance < number * variance:
        number = bernoulli_variance / variance
    number *= (positives - 1) / positives * float(ndtri(_TAIL) / stdtrit(max(positives - 1, 1), _TAIL)) ** 2
    low, high = betaincinv(value * number + 0.5, (1 - value) * number + 0.5, [_TAIL, 1 - _TAIL])
    return Interval(low=float(min(low, value)), high=1.0 if value == 1 else float(max(high, value)))


def macro_f1_interval(tables: Sequence[Counts]) -> Interval:
    """95% interval of the unweighted mean of F1 over languages, from independent Beta draws as in ``f1_interval``.

    The F1 of a table without positives may be anything: it is sampled evenly from [0, 1]. [0, 1] without tables.
    """
    if not tables:
        return Interval(low=0.0, high=1.0)
    random = np.random.default_rng(0)
    total = np.zeros(2 * ROUNDS)
    for table in tables:
        positives, negatives = table.tp + table.fn, table.fp + table.tn
        if not positives:
            total += random.random(len(total))
            continue
        tp = positives * random.beta(table.tp + 0.5, table.fn + 0.5, len(total))
        fp = negatives * random.beta(table.fp + 0.5, table.tn + 0.5, len(total))
        total += f1(tp, fp, positives - tp)
    value = sum(table.f1 for table in tables) / len(tables)
    low, high = np.quantile(total / len(tables), [_TAIL, 1 - _TAIL])
    return Interval(low=float(min(low, value)), high=float(max(high, value)))


def entry_ranks(labels: Labels, probabilities: Probabilities) -> NDArray[np.int64]:
    """How many distinct scores of positives lie above each post's: shape (n_posts,), 0 at the top.

    Posts of one place enter the ranking between the same two positives, or together with the lower one.
    """
    scores = np.unique(probabilities[labels == 1])
    return len(scores) - np.searchsorted(scores, probabilities, side="right")


@dataclass(frozen=True, slots=True)
class _RankOrder:
    """Where the groups of posts of a cell enter one system's ranking, some at the same place: ``order`` (n,) of the
    groups by their places, ``targets`` (m,), the places, and ``starts`` (m,), where each begins in that order."""

    order: NDArray[np.int64]
    targets: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, ranks: NDArray[np.int64]) -> _RankOrder:
        """Of the places of groups, (n,)."""
        order = np.argsort(ranks, kind="stable")
        return cls(order, *np.unique(ranks[order], return_index=True))

    def summed(self, sampled: NDArray[np.int64]) -> NDArray[np.int64]:
        """The posts at each of ``targets``, (size, m), given those of each group, (size, n)."""
        result: NDArray[np.int64] = np.add.reduceat(sampled[:, self.order], self.starts, axis=1)
        return result


@dataclass(frozen=True, slots=True)
class _Cell:
    """The posts of one label and stratum, in groups of the same places: how many each holds, ``posts`` (n,), and its
    places in the ranking of each system."""

    label: int
    posts: NDArray[np.int64]
    ranks: tuple[_RankOrder, ...]


def resampled_average_precision(
    labels: Labels, ranks: NDArray[np.int64], strata: Sequence[str] | None = None, *, rounds: int = ROUNDS
) -> NDArray[np.float64]:
    """Average precision of stratified resamples: (rounds, n_systems), for ``places`` (n_systems, n_posts).

    A row's systems are measured on the same resample. With very many positives there are fewer ``rounds``, 250 at
    least: what they tell then, a standard error, is known to 5%. Raises ValueError without positives.
    """
    positives = int(np.count_nonzero(labels == 1))
    if not positives:
        raise ValueError("no positives")
    names = np.zeros(len(labels), dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    cells = []
    for stratum, label in np.unique(np.stack([names, labels.astype(np.int64)]), axis=1).T:
        mask = (names == stratum) & (labels == label)
        where, numbers = np.unique(ranks[:, mask], axis=1, return_counts=True)
        cells.append(_Cell(int(label), numbers, tuple(map(_RankOrder.of, where))))
    random = np.random.default_rng(0)
    values = []
    width = int(ranks.max()) + 1
    rounds = max(min(rounds, _FEWEST_ROUNDS), min(rounds, rounds * _FULL_ROUNDS // width))
    stride = max(1, min(_RESAMPLES_PER_CHUNK, _NUMBERS_PER_CHUNK // (2 * len(ranks) * width)))
    for start in range(0, rounds, stride):
        report_share("resampling", start, rounds)
        entering = _entering(cells, random, size=min(stride, rounds - start), width=width, systems=len(ranks))
        values.append(_average_precisions(entering).T / positives)
    return np.concatenate(values)


def _entering(
    cells: Sequence[_Cell], random: np.random.Generator, *, size: int, width: int, systems: int
) -> NDArray[np.float64]:
    """How many negatives, and positives, of each resample enter each system's ranking at each of its places:
    (2, n_systems, size, width)."""
    entering = np.zeros((2, systems, size, width))
    for cell in cells:
        stride = max(1, _NUMBERS_SAMPLED // len(cell.posts))
        shares = cell.posts / cell.posts.sum()
        for start in range(0, size, stride):  # the same draws as all at once: they are made row by row
            rows = slice(start, min(start + stride, size))
            sampled = random.multinomial(cell.posts.sum(), shares, size=rows.stop - rows.start)
            for total, ranks in zip(entering[cell.label, :, rows], cell.ranks, strict=True):
                total[:, ranks.targets] += ranks.summed(sampled)
    return entering


def _average_precisions(entering: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision times positives of each resample: (n_systems, size). In place: a copy takes as much again."""
    cumulative = np.cumsum(entering, axis=-1)
    read, precision = cumulative
    read += precision
    np.divide(precision, read, out=precision, where=read > 0)  # 0 of 0: stays 0
    precision *= entering[1]
    result: NDArray[np.float64] = precision.sum(axis=-1)
    return result
