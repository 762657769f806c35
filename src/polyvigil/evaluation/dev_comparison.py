"""Metrics on new posts beside those that the dev posts promised, and how far apart the two are.

In come the slices of an evaluation on new posts, and of one on the dev posts with its cross-fitted metrics (each dev
post decided by thresholds tuned on others, so without the optimism of same-set ones). Out come differences, new less
dev, each with its 95% interval.

The two samples of posts are independent, so the interval of a difference is that of two independent posteriors: recall
and false-positive rate of both sides are sampled from their Beta posteriors under Jeffreys' prior, as in
evaluation.intervals, the metric is computed from each draw, and quantiles are of the differences of the draws.
Adding the squared half-widths of the two stored intervals (Zou and Donner 2008) would be shorter, but cannot give the
mean over languages, and would not agree with the interval of macro F1. ``tests/evaluation/test_dev_comparison.py``
measures the coverage, and compares with a bootstrap over posts.

What the intervals speak of is the sampling of posts at the numbers of positives and negatives that were seen. They do
not speak of how much the thresholds would move with other dev posts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.groups import POOLED
from polyvigil.evaluation.intervals import LEVEL, Interval
from polyvigil.evaluation.slices import Slice
from polyvigil.metrics import f1
from polyvigil.text.language import counted_when_pooled
from polyvigil.types import Frozen

SAMPLES = 10_000
_TAIL = (1 - LEVEL) / 2


class DevDifference(Frozen):
    """A metric on new posts, cross-fitted on the dev posts, and ``difference`` = value - dev; intervals are 95%."""

    value: float
    value_interval: Interval
    dev: float
    dev_interval: Interval
    difference: float
    low: float
    """At least -1, at most ``difference``."""
    high: float


class DevSlice(Frozen):
    """One language, or all of them, on both sets of posts."""

    name: str
    dev_posts: int
    dev_positives: int
    precision: DevDifference
    recall: DevDifference
    f1: DevDifference


class DevComparison(Frozen):
    """``languages`` by name, CADEC groups among them: those with positives in both sets of posts."""

    languages: tuple[DevSlice, ...]
    pooled: DevSlice | None
    """Over ``pooled_languages``, counts of each side added up; None where no language can be compared."""
    pooled_languages: tuple[str, ...]
    """The languages of both sets of posts that pooled metrics include: all but the CADEC groups."""
    macro_f1: DevDifference | None
    """Unweighted mean of F1 over ``macro_languages``, on both sides."""
    macro_languages: tuple[str, ...]
    without_dev: tuple[str, ...]
    """Languages of the new posts that have no metric to compare: no dev posts, or no positives on one side."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A confusion table whose counts may be means, and so no whole numbers."""

    tp: float
    fp: float
    positives: int
    negatives: int

    def __add__(self, other: Rates) -> Rates:
        return Rates(
            self.tp + other.tp, self.fp + other.fp, self.positives + other.positives, self.negatives + other.negatives
        )

    @property
    def precision(self) -> float:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        return self.tp / self.positives if self.positives else 0.0

    @property
    def f1(self) -> float:
        return float(f1(self.tp, self.fp, self.positives - self.tp))


def compare_with_dev(languages: Sequence[Slice], dev: Sequence[Slice]) -> DevComparison | None:
    """Compare slices of new posts by language with cross-fitted ones of the dev posts.

    None where no dev slice has cross-fitted metrics. Deterministic. Pooled and macro F1 are over the languages of both
    sets, since a language that stands in one of them alone would move the metric by itself.
    """
    new = {part.name: _rates(part) for part in languages}
    old = {part.name: rates for part in dev if (rates := _cross_fitted_rates(part)) is not None}
    if not old:
        return None
    parts, dev_parts = {part.name: part for part in languages}, {part.name: part for part in dev}
    random = np.random.default_rng(0)
    shared = [name for name in new if name in old]
    comparable = [name for name in shared if new[name].positives and old[name].positives]
    counted = [name for name in shared if name in _counted(new)]
    averaged = [name for name in counted if name in comparable]
    posts = {name: part.posts for name, part in dev_parts.items()}
    return DevComparison(
        languages=tuple(
            _with_slice_intervals(
                _dev_slice(name, new[name], old[name], posts[name], random), parts[name], dev_parts[name]
            )
            for name in comparable
        ),
        pooled=_dev_slice(
            POOLED,
            _sum(new[name] for name in counted),
            _sum(old[name] for name in counted),
            sum(posts[name] for name in counted),
            random,
        )
        if averaged
        else None,
        pooled_languages=tuple(counted) if averaged else (),
        macro_f1=macro_f1_difference([new[name] for name in averaged], [old[name] for name in averaged], random),
        macro_languages=tuple(averaged),
        without_dev=tuple(name for name in new if name not in comparable),
    )


def f1_difference(new: Rates, dev: Rates, random: np.random.Generator) -> DevDifference:
    """F1 of ``new`` less F1 of ``dev``, both with positives."""
    return _difference(new.f1, sampled_f1(new, random), dev.f1, sampled_f1(dev, random))


def macro_f1_difference(
    new: Sequence[Rates], dev: Sequence[Rates], random: np.random.Generator
) -> DevDifference | None:
    """Mean F1 over languages of ``new`` less that of ``dev``, in one order; None of no language."""
    if not new:
        return None
    return _difference(*_mean_f1(new, random), *_mean_f1(dev, random))


def _mean_f1(languages: Sequence[Rates], random: np.random.Generator) -> tuple[float, NDArray[np.float64]]:
    """The mean of F1 over languages, and its samples: (SAMPLES,)."""
    samples = np.mean([sampled_f1(one, random) for one in languages], axis=0)
    return float(np.mean([one.f1 for one in languages])), samples


def sampled_f1(rates: Rates, random: np.random.Generator) -> NDArray[np.float64]:
    """F1 of SAMPLES recalls and false-positive rates from their posteriors: (SAMPLES,), in [0, 1]."""
    tp = rates.positives * _share(rates.tp, rates.positives, random)
    fp = rates.negatives * _share(rates.fp, rates.negatives, random)
    return f1(tp, fp, rates.positives - tp)


def _share(part: float, whole: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Samples of a share ``part / whole`` under Jeffreys' prior; evenly from [0, 1] where the whole is 0."""
    if whole == 0:
        return random.random(SAMPLES)
    return random.beta(part + 0.5, max(whole - part, 0.0) + 0.5, SAMPLES)


def _difference(
    value: float, samples: NDArray[np.float64], dev: float, dev_samples: NDArray[np.float64]
) -> DevDifference:
    """Of a metric and its samples (SAMPLES,) on both sides, sampled independently of each other."""
    difference = value - dev
    low, high = np.quantile(samples - dev_samples, [_TAIL, 1 - _TAIL])
    return DevDifference(
        value=value,
        value_interval=_interval(value, samples),
        dev=dev,
        dev_interval=_interval(dev, dev_samples),
        difference=difference,
        low=min(float(low), difference),
        high=max(float(high), difference),
    )


def _interval(value: float, samples: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(samples, [_TAIL, 1 - _TAIL])
    return Interval(low=min(float(low), value), high=max(float(high), value))


def _dev_slice(name: str, new: Rates, dev: Rates, dev_posts: int, random: np.random.Generator) -> DevSlice:
    return DevSlice(
        name=name,
        dev_posts=dev_posts,
        dev_positives=dev.positives,
        precision=_difference(
            new.precision,
            _share(new.tp, new.tp + new.fp, random),
            dev.precision,
            _share(dev.tp, dev.tp + dev.fp, random),
        ),
        recall=_difference(
            new.recall, _share(new.tp, new.positives, random), dev.recall, _share(dev.tp, dev.positives, random)
        ),
        f1=f1_difference(new, dev, random),
    )


def _with_slice_intervals(compared: DevSlice, part: Slice, dev: Slice) -> DevSlice:
    """The single metrics with the intervals that the slices have, lest two tables differ in the last digit."""
    crossed = dev.cross_fitted
    if crossed is None:
        return compared
    pairs = {
        "precision": (compared.precision, part.precision_interval, crossed.precision_interval),
        "recall": (compared.recall, part.recall_interval, crossed.recall_interval),
        "f1": (compared.f1, part.f1_interval, crossed.f1_interval),
    }
    return compared.model_copy(
        update={
            name: difference.model_copy(update={"value_interval": value, "dev_interval": other})
            for name, (difference, value, other) in pairs.items()
        }
    )


def _counted(new: dict[str, Rates]) -> list[str]:
    """The languages that pooled metrics include."""
    names = list(new)
    return [name for name, counts in zip(names, counted_when_pooled(names).tolist(), strict=True) if counts]


def _sum(parts: Iterable[Rates]) -> Rates:
    return sum(parts, start=Rates(0.0, 0.0, 0, 0))


def _rates(part: Slice) -> Rates:
    return Rates(part.tp, part.fp, part.positives, part.posts - part.positives)


def _cross_fitted_rates(part: Slice) -> Rates | None:
    """Mean counts of a dev slice; None without cross-fitted metrics.

    An evaluation that was stored before ``flagged`` was kept gives it as hits / precision. Where nothing was detected
    that is 0 / 0, and the same-set number of false positives, which is near it, stands in.
    """
    crossed = part.cross_fitted
    if crossed is None:
        return None
    tp = crossed.recall * part.positives
    if crossed.flagged is not None:
        fp = crossed.flagged - tp
    else:
        fp = tp / crossed.precision - tp if crossed.precision else float(part.fp)
    return Rates(tp, max(fp, 0.0), part.positives, part.posts - part.positives)
