"""A monitor -> a report: what each week held, how far it lies from the reference, and which alarms hold.

In: the entries that count. Out: ``MonitorReport``, all numbers of the table, the JSON document and the page. Weeks of
one bundle are compared with weeks of the same bundle alone: the newest week says which, and its first weeks are the
reference. A chart that has too few posts, or no reference, is named with the reason and tests nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polyvigil.config.monitor import MonitorSpec
from polyvigil.errors import DataError
from polyvigil.monitor.alarms import Alarm, ChartSeries, NoChart, find_alarms, make_charts
from polyvigil.monitor.audited import AuditedMetrics, beside_scores
from polyvigil.monitor.counts import ALL, LENGTH_EDGES, SCORE_EDGES
from polyvigil.monitor.store import Monitor
from polyvigil.monitor.streams import BundleCells, Stream, make_stream, stream_names, week_row
from polyvigil.types import Frozen


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
    cells = BundleCells(tuple(sorted({cell.week for cell in here})), tuple(here))
    k = spec.reference_weeks
    complete = len(cells.weeks) > k
    series, uncharted = make_charts(cells, spec) if complete else ((), ())
    alarms = find_alarms(series, cells.weeks[-1])
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
        streams=tuple(make_stream(cells, *key, reference=reference) for key in stream_names(cells)),
        charts=tuple(series),
        uncharted=tuple(uncharted),
        alarms=tuple(alarms),
        audited=tuple(_beside_scores(one, cells) for one in audited),
        notes=(*monitor.notes, *notes, *_notes(periods, bundle, cells, k)),
    )


def _beside_scores(one: AuditedMetrics, cells: BundleCells) -> AuditedMetrics:
    """Audited metrics beside the label-free recall of their week, or of all weeks."""
    by_week = cells.by_week(one.language, ALL)
    chosen = [cell for week, some in by_week.items() if one.week in ("", week) for cell in some]
    return beside_scores(one, week_row("", chosen).expected_recall if chosen else None)


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


def _notes(periods: Sequence[BundlePeriod], bundle: str, cells: BundleCells, k: int) -> Iterable[str]:
    if len(periods) > 1:
        further = ", ".join(f"{one.bundle} ({one.first} to {one.last})" for one in periods if one.bundle != bundle)
        yield f"the bundle changed: weeks of {further} are not compared with those of {bundle}, whose reference is new"
    if len(cells.weeks) <= k:
        yield (
            f"{len(cells.weeks)} of {k} weeks of the reference are there; alarms begin with week {k + 1} "
            "(--reference-weeks)"
        )
