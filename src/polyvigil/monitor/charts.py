"""What is charted of a stream (a language of a source) and of the mix of streams: weekly counts -> control charts.

The same functions draw the charts of a report, of one stream, and of the simulation that checks the limits, of
thousands of streams at a time: leading axes are any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvigil.monitor.statistics import Chart, Floats, distance_chart, limit, rate_chart

Metric = Literal["flagged", "expected", "scores", "lengths", "scripts", "unread", "duplicates", "languages", "sources"]
"""The last two are of the mix of streams, the others of one stream."""

RATES: tuple[Metric, ...] = ("flagged", "expected", "scripts", "unread", "duplicates")
"""Metrics that are shares; the others are distances, whose limit has one side."""
PREVALENCE: tuple[Metric, ...] = ("flagged", "expected")
"""Metrics that a change of prevalence moves."""
PREVALENCE_SHARE = 0.8
"""Of the false alarms allowed, for which the limits of those are set; the others see what they see with less."""
TITLES: dict[Metric, str] = {
    "flagged": "flag rate",
    "expected": "expected share of ADEs",
    "scores": "histogram of P",
    "lengths": "lengths",
    "scripts": "other scripts",
    "unread": "unread posts",
    "duplicates": "repeated posts",
    "languages": "language mix",
    "sources": "source mix",
}


@dataclass(frozen=True, slots=True)
class WeeklyCounts:
    """Counts of a stream by week, (..., n_weeks); histograms (..., n_weeks, n_bins). ``rows`` are posts and those with
    nothing to read; ``sums`` and ``squares`` are of the calibrated P; ``unread`` is a part of ``rows``."""

    rows: Floats
    posts: Floats
    flagged: Floats
    sums: Floats
    squares: Floats
    unread: Floats
    duplicates: Floats
    scores: Floats
    lengths: Floats
    scripts: Floats


def stream_charts(counts: WeeklyCounts, k: int) -> dict[Metric, Chart]:
    """All charts of a stream; the first ``k`` weeks are the reference."""
    return {
        **prevalence_charts(counts, k),
        "scores": distance_chart(counts.scores, k),
        "lengths": distance_chart(counts.lengths, k),
        "scripts": rate_chart(other_scripts(counts, k), counts.posts, k),
        "unread": rate_chart(counts.unread, counts.rows, k),
        "duplicates": rate_chart(counts.duplicates, counts.posts, k),
    }


def chart_limits(metrics: Sequence[Metric], freedom: Sequence[int], *, false_alarms: float) -> list[float]:
    """The limit of each chart of a monitor, by its metric and degrees of freedom, so that all of them together give so
    many false alarms in 13 weeks."""
    in_family = Counter(metric in PREVALENCE for metric in metrics)
    shares = {True: PREVALENCE_SHARE, False: 1 - PREVALENCE_SHARE} if len(in_family) > 1 else {True: 1.0, False: 1.0}
    return [
        limit(
            degrees,
            charts=in_family[metric in PREVALENCE],
            false_alarms=false_alarms * shares[metric in PREVALENCE],
            sides=2 if metric in RATES else 1,
        )
        for metric, degrees in zip(metrics, freedom, strict=True)
    ]


def prevalence_charts(counts: WeeklyCounts, k: int) -> dict[Metric, Chart]:
    """The charts of streams taken together: of these only what a change of prevalence moves."""
    return {
        "flagged": rate_chart(counts.flagged, counts.posts, k),
        "expected": rate_chart(counts.sums, counts.posts, k, design=_design(counts, k)),
    }


def mix_chart(posts: Floats, k: int) -> Chart:
    """The chart of the mix of languages or sources: ``posts`` (..., n_weeks, n_names)."""
    return distance_chart(posts, k)


def other_scripts(counts: WeeklyCounts, k: int) -> Floats:
    """Posts in another script than the commonest of the reference, by week."""
    main = counts.scripts[..., :k, :].sum(-2).argmax(-1)[..., None, None]
    elsewhere: Floats = counts.scripts.sum(-1) - np.take_along_axis(counts.scripts, main, axis=-1)[..., 0]
    return elsewhere


def _design(counts: WeeklyCounts, k: int) -> Floats:
    """By how much less a sum of probabilities varies than a count of the same mean, in the reference."""
    posts = np.maximum(counts.posts[..., :k].sum(-1, keepdims=True), 1)
    mean = counts.sums[..., :k].sum(-1, keepdims=True) / posts
    variance = counts.squares[..., :k].sum(-1, keepdims=True) / posts - mean**2
    design: Floats = np.clip(variance / np.maximum(mean * (1 - mean), 1e-12), 1e-3, 1.0)
    return design
