"""Charts of a monitor, their limits, and the alarms: weeks in which a stream lies beyond its limit.

In: the counts of one bundle, the first weeks of which are the reference. Out: a ``ChartSeries`` for each chart that the
posts can carry, in the units in which people read it, a reason for each stream that has none, and runs of alarms. How
far a limit lies depends on the number of charts (monitor.charts.chart_limits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvigil.config.monitor import MonitorSpec
from polyvigil.monitor.charts import (
    RATES,
    TITLES,
    Metric,
    chart_limits,
    mix_chart,
    prevalence_charts,
    stream_charts,
)
from polyvigil.monitor.counts import ALL
from polyvigil.monitor.statistics import Chart, Floats, share_of
from polyvigil.monitor.streams import BundleCells, stream_name, stream_names, weekly_counts
from polyvigil.types import Frozen

FEWEST_POSTS = 30
"""Of a week of a chart; a week with fewer has no value there."""
FEWEST_REFERENCE_WEEKS = 4


class Point(Frozen):
    """A week of a chart. ``mean``: of it and the week before; ``low`` and ``high``: limits of the mean, None where
    nothing is tested (and no lower one for a distance)."""

    week: str
    value: float
    mean: float
    low: float | None
    high: float | None
    statistic: float | None
    alarm: bool


class ChartSeries(Frozen):
    """A chart: a share, or of a histogram or mix its distance from the reference over what chance would give."""

    metric: Metric
    language: str
    source: str
    title: str
    reference: float
    threshold: float
    """Of ``statistic``: standard deviations by which two weeks may lie from the reference."""
    points: tuple[Point, ...]


class Alarm(Frozen):
    """A chart beyond its limit, from ``first`` to ``last``; it holds where ``last`` is the newest week."""

    metric: Metric
    language: str
    source: str
    first: str
    last: str
    holds: bool
    value: float
    """The mean of the last two weeks of it."""
    reference: float
    message: str


class NoChart(Frozen):
    """What is not charted, and why."""

    language: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Charted:
    """A chart before its limit is known, which depends on how many there are."""

    metric: Metric
    language: str
    source: str
    weeks: tuple[str, ...]
    k: int
    chart: Chart


def make_charts(cells: BundleCells, spec: MonitorSpec) -> tuple[list[ChartSeries], list[NoChart]]:
    """All charts that the posts can carry, and what is not charted."""
    k = spec.reference_weeks
    charted: list[_Charted] = []
    uncharted: list[NoChart] = []
    for language, source in stream_names(cells):
        by_week = cells.by_week(language, source)
        weeks = tuple(week for week, some in by_week.items() if sum(one.posts for one in some) >= FEWEST_POSTS)
        if reason := _refusal(weeks, cells.weeks, k):
            uncharted.append(NoChart(language=language, source=source, reason=reason))
            continue
        in_reference = sum(week in cells.weeks[:k] for week in weeks)
        counts = weekly_counts([by_week[week] for week in weeks])
        of_stream: Mapping[Metric, Chart] = (
            prevalence_charts(counts, in_reference)
            if ALL in (language, source)
            else stream_charts(counts, in_reference)
        )
        charted += [
            _Charted(metric, language, source, weeks, in_reference, chart) for metric, chart in of_stream.items()
        ]
    charted += _mixes(cells, k)
    metrics, freedom = [one.metric for one in charted], [one.chart.freedom for one in charted]
    limits = chart_limits(metrics, freedom, false_alarms=spec.false_alarms)
    return [_series(one, most) for one, most in zip(charted, limits, strict=True)], uncharted


def _refusal(weeks: Sequence[str], all_weeks: Sequence[str], k: int) -> str:
    """Why a stream is not charted; empty where it is."""
    in_reference = sum(week in all_weeks[:k] for week in weeks)
    if not in_reference and weeks:
        return f"begins in {weeks[0]}, after the reference, so there is nothing to compare it with"
    if in_reference < FEWEST_REFERENCE_WEEKS:
        return (
            f"{in_reference} of the {k} weeks of the reference have {FEWEST_POSTS} posts or more; "
            f"{FEWEST_REFERENCE_WEEKS} are needed"
        )
    if len(weeks) == in_reference:
        return f"no week after the reference has {FEWEST_POSTS} posts"
    return ""


def _mixes(cells: BundleCells, k: int) -> list[_Charted]:
    """The mix of languages and that of sources, where there are several."""
    charted = []
    names: tuple[tuple[Literal["languages", "sources"], list[str]], ...] = tuple(
        zip(("languages", "sources"), cells.names(), strict=True)
    )
    for metric, of in names:
        if len(of) < 2:
            continue
        keys = [(name, ALL) if metric == "languages" else (ALL, name) for name in of]
        streams = [cells.by_week(*key) for key in keys]
        posts = np.array(
            [[sum(cell.posts for cell in stream[week]) for stream in streams] for week in cells.weeks], dtype=np.float64
        )
        enough = posts.sum(axis=1) >= FEWEST_POSTS
        in_reference = int(enough[:k].sum())
        if in_reference >= FEWEST_REFERENCE_WEEKS and enough[k:].any():
            weeks = tuple(week for week, some in zip(cells.weeks, enough, strict=True) if some)
            charted.append(_Charted(metric, ALL, ALL, weeks, in_reference, mix_chart(posts[enough], in_reference)))
    return charted


def _series(one: _Charted, most: float) -> ChartSeries:
    """A chart with its limits, ``most`` standard deviations off, in the units in which people read it."""
    is_rate = one.metric in RATES
    chart = one.chart
    reach = most * chart.deviation
    low, high = _shown(chart, chart.center - reach), _shown(chart, chart.center + reach)
    values, means = _shown(chart, chart.values, pairs=False), _shown(chart, chart.means)
    points = []
    for index, week in enumerate(one.weeks):
        tested = index >= one.k
        statistic = float(chart.statistic[index]) if tested else None
        points.append(
            Point(
                week=week,
                value=float(values[index]),
                mean=float(means[index]),
                low=float(low[index]) if tested and is_rate else None,
                high=float(high[index]) if tested else None,
                statistic=statistic,
                alarm=statistic is not None and (abs(statistic) if is_rate else statistic) > most,
            )
        )
    return ChartSeries(
        metric=one.metric,
        language=one.language,
        source=one.source,
        title=TITLES[one.metric],
        reference=float(chart.reference[0]),
        threshold=most,
        points=tuple(points),
    )


def _shown(chart: Chart, values: Floats, *, pairs: bool = True) -> Floats:
    """Values of a chart in the units in which people read them; ``pairs``: of means of two weeks."""
    if chart.totals is None:
        return values
    before = np.concatenate([chart.totals[:1], chart.totals[:-1]])
    return share_of(values, 2 / (1 / chart.totals + 1 / before) if pairs else chart.totals)


def find_alarms(charts: Sequence[ChartSeries], newest: str) -> list[Alarm]:
    """Runs of weeks beyond the limit; those that hold first, then the latest."""
    alarms = []
    for chart in charts:
        run: list[Point] = []
        for point in (*chart.points, None):
            if point is not None and point.alarm:
                run.append(point)
            elif run:
                alarms.append(_alarm(chart, run, newest))
                run = []
    return sorted(sorted(alarms, key=lambda alarm: alarm.last, reverse=True), key=lambda alarm: not alarm.holds)


def _alarm(chart: ChartSeries, run: Sequence[Point], newest: str) -> Alarm:
    last = run[-1]
    value = f"{last.mean:.2%}" if chart.metric in RATES else f"{last.mean:.1f} times the expected distance"
    reference = f"{chart.reference:.2%}" if chart.metric in RATES else f"{chart.reference:.1f}"
    return Alarm(
        metric=chart.metric,
        language=chart.language,
        source=chart.source,
        first=run[0].week,
        last=last.week,
        holds=last.week == newest,
        value=last.mean,
        reference=chart.reference,
        message=f"{stream_name(chart.language, chart.source)}: {chart.title} {value} in the two weeks to {last.week}, "
        f"reference {reference}; beyond the limit from {run[0].week} on",
    )
