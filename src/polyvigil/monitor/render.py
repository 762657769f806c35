"""A MonitorReport -> one HTML page: formats and plots, computes no metric; no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from polyvigil.bundle.outputs import OutputKind
from polyvigil.data.atomic import write_whole
from polyvigil.monitor.alarms import ChartSeries, Point
from polyvigil.monitor.charts import RATES
from polyvigil.monitor.counts import ALL
from polyvigil.monitor.report import MonitorReport
from polyvigil.monitor.streams import Stream, WeekRow, stream_name
from polyvigil.report import charts
from polyvigil.report.render import html_environment

_MARK = b"<b>polyvigil</b> monitor"
_SHARES = ("flag_rate", "expected_share", "expected_precision", "expected_recall", "unread_share", "duplicate_share")
"""Of a WeekRow, in the order of the columns."""
_MOST_SHOWN = 40
_HEAD_BYTES = 1 << 16
LEFT, RIGHT, TOP, BOTTOM = charts.LEFT + 6, charts.RIGHT, charts.TOP, charts.BOTTOM


def _is_earlier(path: Path) -> bool:
    with path.open("rb") as stream:
        return _MARK in stream.read(_HEAD_BYTES)


MONITOR_HTML = OutputKind("page of polyvigil monitor", _is_earlier)


def write_html(report: MonitorReport, path: Path, *, command: str = "", replace: bool = False) -> None:
    """Write the page, all at once. Whoever calls has checked the path (bundle.outputs.check_output)."""
    write_whole(path, monitor_html(report, command=command), replace=replace)


@dataclass(frozen=True, slots=True)
class _Verdict:
    level: str
    word: str
    label: str
    summary: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Panel:
    """A chart as SVG: paths, and coordinates of points, in the units of report.charts."""

    chart: ChartSeries
    unit: str
    holds: bool
    path: str
    center: str
    area: str
    dots: tuple[tuple[str, str], ...]
    beyond: tuple[tuple[str, str], ...]
    low: str
    high: str
    first: str
    last: str
    sentence: str
    words: str


@dataclass(frozen=True, slots=True)
class _Histogram:
    title: str
    newest: str
    reference: str
    first: str
    last: str
    words: str


@dataclass(frozen=True, slots=True)
class _Volume:
    """Bars by week: all posts up, those flagged down, each on its scale."""

    name: str
    posts: str
    flagged: str
    words: str


def monitor_html(report: MonitorReport, *, command: str = "") -> str:
    """The page as text."""
    shown = _shown_streams(report)
    newest = [(one, one.weeks[-1]) for one in report.streams if one.weeks[-1].week == report.weeks[-1]]
    absent = [stream_name(one.language, one.source) for one in report.streams if one.weeks[-1].week != report.weeks[-1]]
    environment = html_environment("polyvigil.monitor")
    environment.filters.update(
        fine=_fine, short="{:g}".format, stream_name=lambda one: stream_name(one.language, one.source)
    )
    return environment.get_template("monitor.html.j2").render(
        report=report,
        command=command,
        verdict=_verdict(report),
        newest=newest,
        absent=", ".join(absent),
        panels=_panels(report, {(one.language, one.source) for one in shown}),
        shown=shown,
        volumes=[_volume(report.weeks, one) for one in shown],
        most_shown=_MOST_SHOWN,
        histograms=[
            (one, _histograms(report, one, row))
            for one, row in newest
            if one in shown and one.source != ALL and one.reference
        ],
        shares=_SHARES,
        width=charts.WIDTH,
        height=charts.HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
    )


def _verdict(report: MonitorReport) -> _Verdict:
    holding = report.holding
    if holding:
        number = "1 alarm holds" if len(holding) == 1 else f"{len(holding):,} alarms hold"
        summary = f"{number} in {report.weeks[-1]}, over {len(report.charts):,} charts."
        return _Verdict("fail", "Alarm", "Alarm", summary, tuple(alarm.message for alarm in holding))
    if not report.charts:
        needed = "Nothing is compared yet: the reference is not complete, or no stream has posts enough."
        return _Verdict("warn", "No limits yet", "To know", needed, ("See below what is needed.",))
    past = f"{len(report.alarms):,} earlier alarms do not hold any more." if report.alarms else "There was none before."
    return _Verdict(
        "pass",
        "No alarm",
        "None",
        f"No alarm holds in {report.weeks[-1]}, over {len(report.charts):,} charts.",
        (past,),
    )


def _shown_streams(report: MonitorReport) -> list[Stream]:
    """The streams whose charts and weeks are on the page, in the report's order: all, or of very many the largest and
    those with an alarm."""
    alarmed = {(alarm.language, alarm.source) for alarm in report.alarms}

    def rank(stream: Stream) -> tuple[bool, int]:
        return (stream.language, stream.source) not in alarmed, -sum(row.posts for row in stream.weeks)

    chosen = {(one.language, one.source) for one in sorted(report.streams, key=rank)[:_MOST_SHOWN]}
    return [one for one in report.streams if (one.language, one.source) in chosen]


def _panels(report: MonitorReport, shown: Set[tuple[str, str]]) -> list[tuple[str, list[_Panel]]]:
    """The charts by stream; those with an alarm that holds come first, the mixes last."""
    by_name: dict[str, list[_Panel]] = {}
    for chart in report.charts:
        is_mix = chart.metric in ("languages", "sources")
        if not is_mix and (chart.language, chart.source) not in shown:
            continue
        name = "Mix of streams" if is_mix else stream_name(chart.language, chart.source)
        by_name.setdefault(name, []).append(_panel(chart, report.weeks[-1]))
    return sorted(by_name.items(), key=lambda item: not any(panel.holds for panel in item[1]))


def _panel(chart: ChartSeries, newest: str) -> _Panel:
    points, is_rate = chart.points, chart.metric in RATES
    bounds = [
        bound for point in points for bound in (point.low, point.high, point.value, point.mean) if bound is not None
    ]
    bottom = min(bounds) if is_rate else 0.0
    top = max(*bounds, bottom + 1e-4)

    def x(index: int) -> float:
        return LEFT + (RIGHT - LEFT) * (index / (len(points) - 1) if len(points) > 1 else 0.5)

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - bottom) / (top - bottom)

    def at(index: int, value: float) -> tuple[str, str]:
        return f"{x(index):.1f}", f"{y(value):.1f}"

    tested = [(index, point) for index, point in enumerate(points) if point.high is not None]
    upper = [at(index, point.high or 0.0) for index, point in tested]
    lower = [at(index, point.low if point.low is not None else bottom) for index, point in reversed(tested)]
    shown = _fine if is_rate else "{:.1f}".format
    last = points[-1]
    holds = last.alarm and last.week == newest
    sentence = f"{shown(last.mean)}, reference {shown(chart.reference)}; {_reach(last, shown)}"
    return _Panel(
        chart=chart,
        unit="" if is_rate else ", distance",
        holds=holds,
        path=_path([at(index, point.mean) for index, point in enumerate(points)]),
        center=f"M{LEFT} {y(chart.reference):.1f}H{RIGHT}",
        area=_path([*upper, *lower]) + "z" if tested else "",
        dots=tuple(at(index, point.value) for index, point in enumerate(points)),
        beyond=tuple(at(index, point.mean) for index, point in enumerate(points) if point.alarm),
        low=shown(bottom),
        high=shown(top),
        first=points[0].week,
        last=last.week,
        sentence=sentence,
        words=f"{chart.title} of {stream_name(chart.language, chart.source)}, {points[0].week} to {last.week}: "
        f"{sentence}." + (" Alarm." if holds else ""),
    )


def _reach(last: Point, shown: object) -> str:
    assert callable(shown)
    if last.high is None:
        return "not tested"
    return f"limit {shown(last.low)} to {shown(last.high)}" if last.low is not None else f"limit {shown(last.high)}"


def _path(points: Sequence[tuple[str, str]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def _volume(weeks: Sequence[str], stream: Stream) -> _Volume:
    rows = {row.week: row for row in stream.weeks}
    posts = [rows[week].posts if week in rows else 0 for week in weeks]
    flagged = [rows[week].flagged if week in rows else 0 for week in weeks]
    return _Volume(
        name=stream_name(stream.language, stream.source),
        posts=charts.bars(posts, upward=True, tallest=max(*posts, 1)),
        flagged=charts.bars(flagged, upward=False, tallest=max(*flagged, 1)),
        words=f"{min(posts):,} to {max(posts):,} posts a week, {posts[-1]:,} in the newest; {min(flagged):,} to "
        f"{max(flagged):,} flagged, {flagged[-1]:,} in the newest",
    )


def _histograms(report: MonitorReport, stream: Stream, row: WeekRow) -> list[_Histogram]:
    assert stream.reference is not None
    return [
        _histogram("Calibrated P", row.scores, stream.reference.scores, [f"{edge:g}" for edge in report.score_edges]),
        _histogram("Characters", row.lengths, stream.reference.lengths, [f"{edge:,}" for edge in report.length_edges]),
    ]


def _histogram(title: str, newest: Sequence[int], reference: Sequence[int], edges: Sequence[str]) -> _Histogram:
    """Bars of shares on one scale, the newest week up, the reference down."""
    shares = [[10_000 * n / max(sum(some), 1) for n in some] for some in (newest, reference)]
    tallest = max(*shares[0], *shares[1], 1.0)
    up, down = (
        charts.bars([round(10_000 * share / tallest) for share in some], upward=upward, tallest=10_000)
        for some, upward in zip(shares, (True, False), strict=True)
    )
    common = max(range(len(newest)), key=lambda index: newest[index])
    low = f"from {edges[common - 1]}" if common else f"under {edges[0]}"
    high = f" to {edges[common]}" if 0 < common < len(edges) else ""
    return _Histogram(
        title=title,
        newest=up,
        reference=down,
        first=f"under {edges[0]}",
        last=f"from {edges[-1]}",
        words=f"{title}: most posts of the newest week lie {low}{high}: "
        f"{shares[0][common] / 100:.0f}%, in the reference {shares[1][common] / 100:.0f}%",
    )


def _fine(value: float | None) -> str:
    """A share in percent, with the digits that tell; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.0%}" if value >= 0.995 or value == 0 else f"{value:.1%}" if value >= 0.01 else f"{value:.2%}"
