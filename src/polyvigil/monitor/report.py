"""A monitor -> a report: what each week held, how far it lies from the reference, and which alarms hold.

In: the entries that count. Out: ``MonitorReport``, all numbers of the table, the JSON document and the page. Weeks of
one bundle are compared with weeks of the same bundle alone: the newest week says which, and its first weeks are the
reference. A chart that has too few posts, or no reference, is named with the reason and tests nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvigil.config.monitor import MonitorSpec
from polyvigil.errors import DataError
from polyvigil.monitor.audited import AuditedMetrics, beside_scores
from polyvigil.monitor.charts import (
    RATES,
    TITLES,
    Metric,
    WeeklyCounts,
    chart_limits,
    mix_chart,
    prevalence_charts,
    stream_charts,
)
from polyvigil.monitor.counts import ALL, LENGTH_EDGES, SCORE_EDGES, CellCounts
from polyvigil.monitor.statistics import Chart, Floats, share_of
from polyvigil.monitor.store import Monitor
from polyvigil.types import Frozen

FEWEST_POSTS = 30
"""Of a week of a chart; a week with fewer has no value there."""
FEWEST_REFERENCE_WEEKS = 4
QUARTER = 13


class WeekRow(Frozen):
    """A week of a stream. Shares are in [0, 1]; None where there are no posts to take them of."""

    week: str
    posts: int
    flagged: int
    flag_rate: float | None
    expected_share: float | None
    """The mean calibrated P: the share of ADEs as the scores alone have it. Label-free, no estimate of the truth."""
    expected_precision: float | None
    """The mean calibrated P of flagged posts; label-free too, as the next one."""
    expected_recall: float | None
    unread_share: float | None
    """Rows with nothing to read, and posts that the bundle did not judge."""
    duplicate_share: float | None
    untrained: int
    """Posts of a language that the bundle was not trained on."""
    scripts: dict[str, int]
    scores: tuple[int, ...]
    lengths: tuple[int, ...]


class Stream(Frozen):
    """A language of a source, or (named ``all``) of all sources, or everything, week by week."""

    language: str
    source: str
    weeks: tuple[WeekRow, ...]
    reference: WeekRow | None
    """All weeks of the reference together."""


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


class BundlePeriod(Frozen):
    """The weeks of one bundle in the monitor."""

    bundle: str
    first: str
    last: str
    weeks: int
    posts: int


class MonitorReport(Frozen):
    """What ``polyvigil monitor report`` says."""

    monitor: str
    files: int
    bundle: str
    """The bundle of the newest week; all but ``bundles`` is of it alone."""
    bundles: tuple[BundlePeriod, ...]
    weeks: tuple[str, ...]
    reference_weeks: tuple[str, ...]
    """Empty while there are fewer weeks than the reference needs."""
    false_alarms: float
    """Allowed in 13 weeks, over all charts together; what the limits are set for."""
    score_edges: tuple[float, ...]
    length_edges: tuple[int, ...]
    streams: tuple[Stream, ...]
    charts: tuple[ChartSeries, ...]
    uncharted: tuple[NoChart, ...]
    alarms: tuple[Alarm, ...]
    """Those that hold first."""
    audited: tuple[AuditedMetrics, ...]
    notes: tuple[str, ...]

    @property
    def holding(self) -> tuple[Alarm, ...]:
        """The alarms that hold."""
        return tuple(alarm for alarm in self.alarms if alarm.holds)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The counts of one bundle: of each stream and week the cells."""

    weeks: tuple[str, ...]
    cells: tuple[CellCounts, ...]

    def stream(self, language: str, source: str) -> dict[str, list[CellCounts]]:
        """The cells of a stream by week."""
        chosen: dict[str, list[CellCounts]] = {week: [] for week in self.weeks}
        for cell in self.cells:
            if language in (cell.language, ALL) and source in (cell.source, ALL):
                chosen[cell.week].append(cell)
        return chosen

    def names(self) -> tuple[list[str], list[str]]:
        """Languages and sources."""
        return sorted({cell.language for cell in self.cells}), sorted({cell.source for cell in self.cells})


def make_report(
    monitor: Monitor,
    spec: MonitorSpec | None = None,
    *,
    start: str = "",
    audited: Sequence[AuditedMetrics] = (),
    notes: Sequence[str] = (),
) -> MonitorReport:
    """The report. ``start``: leave out earlier weeks, so that the reference begins there.

    Raises DataError for a monitor without entries, or without weeks from ``start`` on.
    """
    spec = spec or MonitorSpec()
    if not monitor.entries:
        hint = f"add scored posts: polyvigil monitor add {monitor.path} scored.csv --week 2026-W12"
        raise DataError("holds no posts yet", where=monitor.path, hint=hint)
    periods = _periods(monitor)
    bundle = _current(monitor)
    here = [cell for entry in monitor.entries if entry.bundle == bundle for cell in entry.cells if cell.week >= start]
    if not here:
        raise DataError(f"has no week of bundle {bundle} from {start} on", where=monitor.path, hint="begin earlier")
    cells = _Cells(tuple(sorted({cell.week for cell in here})), tuple(here))
    k = spec.reference_weeks
    complete = len(cells.weeks) > k
    series, uncharted = _charts(cells, spec) if complete else ((), ())
    alarms = _alarms(series, cells.weeks[-1])
    reference = cells.weeks[:k] if len(cells.weeks) >= k else ()
    return MonitorReport(
        monitor=monitor.path,
        files=sum(entry.bundle == bundle for entry in monitor.entries),
        bundle=bundle,
        bundles=periods,
        weeks=cells.weeks,
        reference_weeks=reference,
        false_alarms=spec.false_alarms,
        score_edges=SCORE_EDGES,
        length_edges=LENGTH_EDGES,
        streams=tuple(_stream(cells, *key, reference=reference) for key in _stream_names(cells)),
        charts=tuple(series),
        uncharted=tuple(uncharted),
        alarms=tuple(alarms),
        audited=tuple(_beside_scores(one, cells) for one in audited),
        notes=(*monitor.notes, *notes, *_notes(periods, bundle, cells, k)),
    )


def _beside_scores(one: AuditedMetrics, cells: _Cells) -> AuditedMetrics:
    """Audited metrics beside the label-free recall of their week, or of all weeks."""
    by_week = cells.stream(one.language, ALL)
    chosen = [cell for week, some in by_week.items() if one.week in ("", week) for cell in some]
    return beside_scores(one, _row("", chosen).expected_recall if chosen else None)


def _current(monitor: Monitor) -> str:
    """The bundle of the newest week; where it has several, that of the last file added."""
    newest = max(week for entry in monitor.entries for week in entry.weeks)
    return next(entry.bundle for entry in reversed(monitor.entries) if newest in entry.weeks)


def _periods(monitor: Monitor) -> tuple[BundlePeriod, ...]:
    """By their first week."""
    periods = []
    for bundle in {entry.bundle: None for entry in monitor.entries}:
        cells = [cell for entry in monitor.entries if entry.bundle == bundle for cell in entry.cells]
        weeks = sorted({cell.week for cell in cells})
        posts = sum(cell.posts for cell in cells)
        periods.append(BundlePeriod(bundle=bundle, first=weeks[0], last=weeks[-1], weeks=len(weeks), posts=posts))
    return tuple(sorted(periods, key=lambda period: (period.first, period.bundle)))


def _notes(periods: Sequence[BundlePeriod], bundle: str, cells: _Cells, k: int) -> Iterable[str]:
    if len(periods) > 1:
        further = ", ".join(f"{one.bundle} ({one.first} to {one.last})" for one in periods if one.bundle != bundle)
        yield f"the bundle changed: weeks of {further} are not compared with those of {bundle}, whose reference is new"
    if len(cells.weeks) <= k:
        yield (
            f"{len(cells.weeks)} of {k} weeks of the reference are there; alarms begin with week {k + 1} "
            "(--reference-weeks)"
        )


def _stream_names(cells: _Cells) -> list[tuple[str, str]]:
    """Streams, then languages of all sources and everything, where those are more than one stream."""
    single = sorted({(cell.language, cell.source) for cell in cells.cells})
    per_language = Counter(language for language, _ in single)
    joint = [(language, ALL) for language, number in sorted(per_language.items()) if number > 1]
    everything = [(ALL, ALL)] if len(single) > 1 and len(per_language) > 1 else []
    return [*single, *joint, *everything]


def _stream(cells: _Cells, language: str, source: str, *, reference: Sequence[str]) -> Stream:
    by_week = cells.stream(language, source)
    together = [cell for week in reference for cell in by_week[week]]
    return Stream(
        language=language,
        source=source,
        weeks=tuple(_row(week, some) for week, some in by_week.items() if some),
        reference=_row(f"{reference[0]} to {reference[-1]}", together) if together else None,
    )


def _row(week: str, cells: Sequence[CellCounts]) -> WeekRow:
    posts, flagged, rows = (sum(getattr(cell, name) for cell in cells) for name in ("posts", "flagged", "rows"))
    unread = rows - posts + sum(cell.abstained for cell in cells)
    p_sum, p_flagged = sum(cell.p_sum for cell in cells), sum(cell.p_flagged for cell in cells)
    scripts: Counter[str] = Counter()
    for cell in cells:
        scripts.update(cell.scripts)
    return WeekRow(
        week=week,
        posts=posts,
        flagged=flagged,
        flag_rate=_share(flagged, posts),
        expected_share=_share(p_sum, posts),
        expected_precision=_share(p_flagged, flagged),
        expected_recall=_share(p_flagged, p_sum),
        unread_share=_share(unread, rows),
        duplicate_share=_share(sum(cell.duplicates for cell in cells), posts),
        untrained=sum(cell.untrained for cell in cells),
        scripts=dict(scripts.most_common()),
        scores=tuple(int(n) for n in np.sum([cell.scores for cell in cells], axis=0)),
        lengths=tuple(int(n) for n in np.sum([cell.lengths for cell in cells], axis=0)),
    )


def _share(part: float, whole: float) -> float | None:
    return min(part / whole, 1.0) if whole > 0 else None


@dataclass(frozen=True, slots=True)
class _Charted:
    """A chart before its limit is known, which depends on how many there are."""

    metric: Metric
    language: str
    source: str
    weeks: tuple[str, ...]
    k: int
    chart: Chart


def _charts(cells: _Cells, spec: MonitorSpec) -> tuple[list[ChartSeries], list[NoChart]]:
    """All charts that the posts can carry, and what is not charted."""
    k = spec.reference_weeks
    charted: list[_Charted] = []
    uncharted: list[NoChart] = []
    for language, source in _stream_names(cells):
        by_week = cells.stream(language, source)
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


def weekly_counts(weeks: Sequence[Sequence[CellCounts]]) -> WeeklyCounts:
    """The cells of each week as arrays (n_weeks,) and (n_weeks, n_bins)."""
    scripts = sorted({script for some in weeks for cell in some for script in cell.scripts})

    def summed(name: str) -> Floats:
        return np.array([sum(getattr(cell, name) for cell in some) for some in weeks], dtype=np.float64)

    def bins(name: str) -> Floats:
        return np.array([np.sum([getattr(cell, name) for cell in some], axis=0) for some in weeks], dtype=np.float64)

    rows, posts = summed("rows"), summed("posts")
    by_script = [[sum(cell.scripts.get(name, 0) for cell in some) for name in scripts] for some in weeks]
    return WeeklyCounts(
        rows=rows,
        posts=posts,
        flagged=summed("flagged"),
        sums=summed("p_sum"),
        squares=summed("p_squares"),
        unread=rows - posts + summed("abstained"),
        duplicates=summed("duplicates"),
        scores=bins("scores"),
        lengths=bins("lengths"),
        scripts=np.array(by_script, dtype=np.float64),
    )


def _mixes(cells: _Cells, k: int) -> list[_Charted]:
    """The mix of languages and that of sources, where there are several."""
    charted = []
    names: tuple[tuple[Literal["languages", "sources"], list[str]], ...] = tuple(
        zip(("languages", "sources"), cells.names(), strict=True)
    )
    for metric, of in names:
        if len(of) < 2:
            continue
        keys = [(name, ALL) if metric == "languages" else (ALL, name) for name in of]
        streams = [cells.stream(*key) for key in keys]
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


def _alarms(charts: Sequence[ChartSeries], newest: str) -> list[Alarm]:
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


def stream_name(language: str, source: str) -> str:
    """``de/forum``; of everything ``all``, of a source without a name the language alone."""
    if source == ALL:
        return "all" if language == ALL else f"{language}, all sources"
    return f"{language}/{source}" if source else language
