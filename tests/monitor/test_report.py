"""A monitor to a report: what is compared with what, planted changes, stable streams, and what has no value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.monitor.made import BUNDLE, STREAMS, made_monitor, week_name, weekly_cells

from polyvigil.config.monitor import MonitorSpec
from polyvigil.errors import DataError
from polyvigil.monitor.audited import AuditedMetrics, audited_of, read_audited
from polyvigil.monitor.counts import CellCounts
from polyvigil.monitor.report import MonitorReport, make_report
from polyvigil.monitor.store import read_monitor
from polyvigil.monitor.streams import weekly_counts

OTHER = "fedcba9876543210"


def report_of(folder: Path, weeks: int = 12, **options: Any) -> MonitorReport:
    return make_report(made_monitor(folder / "monitor.jsonl", weeks, **options))


@pytest.mark.parametrize("seed", range(4))
def test_stable_streams_are_quiet(tmp_path: Path, seed: int) -> None:
    report = report_of(tmp_path, 26, seed=seed)
    assert report.alarms == ()
    assert {chart.metric for chart in report.charts} >= {"flagged", "lengths", "languages", "sources"}
    assert len(report.charts) == 3 * 7 + 2 * 2 + 2


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a doubled prevalence": ({"prevalence": 0.11}, {"flagged", "expected"}),
    "longer posts": ({"length": 5.3}, {"lengths"}),
    "another script": ({"scripts": "Cyrillic"}, {"scripts"}),
    "posts that cannot be read": ({"unread": 90}, {"unread"}),
    "reposts": ({"duplicates": 300}, {"duplicates"}),
    "a feed that ends": ({"posts": 60}, {"sources"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_planted_change_is_found_in_two_weeks(tmp_path: Path, name: str) -> None:
    options, metrics = CHANGES[name]

    def change(week: int, language: str, source: str) -> Mapping[str, Any]:
        if week < 13 or (language, source) != ("en", "forum"):
            return {}
        if "scripts" in options:
            return {"scripts": None, "length": 4.5}
        return options

    path = tmp_path / "monitor.jsonl"
    monitor = made_monitor(path, 14, change=change)
    if "scripts" in options:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        lines[12:] = [line.replace('"Latin"', '"Cyrillic"') for line in lines[12:]]
        path.write_text("".join(lines), encoding="utf-8")
        monitor = read_monitor(path)
    report = make_report(monitor)
    holding = {alarm.metric for alarm in report.holding if (alarm.language, alarm.source) != ("de", "forum")}
    assert holding >= metrics
    assert {alarm.first for alarm in report.alarms} <= {week_name(13), week_name(14)}
    assert all("reference" in alarm.message and week_name(14) in alarm.message for alarm in report.holding)


def test_an_alarm_that_is_over_does_not_hold(tmp_path: Path) -> None:
    def change(week: int, language: str, source: str) -> Mapping[str, Any]:
        return {"prevalence": 0.2} if week in (11, 12) else {}

    report = report_of(tmp_path, 20, change=change)
    assert report.holding == ()
    assert {alarm.last for alarm in report.alarms} <= {week_name(number) for number in (11, 12, 13)}
    assert report.alarms


def test_weeks_of_two_bundles_are_not_compared(tmp_path: Path) -> None:
    made_monitor(tmp_path / "monitor.jsonl", 10)
    cells = weekly_cells(22, seed=3, change=lambda *_: {"prevalence": 0.3})[10 * 3 :]
    from polyvigil.monitor.counts import CountedFile
    from polyvigil.monitor.store import add_files

    for number in range(12):
        some = tuple(cells[3 * number : 3 * number + 3])
        file = CountedFile(f"{number}.csv", f"{number + 10**6:064x}", OTHER, some, ())
        add_files(tmp_path / "monitor.jsonl", [file])
    report = make_report(read_monitor(tmp_path / "monitor.jsonl"))
    assert report.bundle == OTHER
    assert [(one.bundle, one.weeks) for one in report.bundles] == [(BUNDLE, 10), (OTHER, 12)]
    assert report.reference_weeks == tuple(week_name(number) for number in range(11, 19))
    assert report.alarms == ()
    assert any("the bundle changed" in note and BUNDLE in note for note in report.notes)


def test_a_reference_may_begin_anew(tmp_path: Path) -> None:
    monitor = made_monitor(tmp_path / "m.jsonl", 24, change=lambda week, *_: {"prevalence": 0.12} if week > 12 else {})
    assert make_report(monitor).holding
    later = make_report(monitor, start=week_name(13))
    assert later.alarms == ()
    assert later.reference_weeks[0] == later.weeks[0] == week_name(13)
    with pytest.raises(DataError, match="has no week of bundle"):
        make_report(monitor, start="2027-W01")


@pytest.mark.parametrize("weeks", [1, 7, 8])
def test_without_a_reference_nothing_is_tested(tmp_path: Path, weeks: int) -> None:
    report = report_of(tmp_path, weeks)
    assert report.charts == report.alarms == ()
    assert any(f"{weeks} of 8 weeks of the reference" in note for note in report.notes)
    assert len(report.streams) == 5


def test_a_stream_with_few_posts_or_no_reference_is_not_charted(tmp_path: Path) -> None:
    def change(week: int, language: str, source: str) -> Mapping[str, Any]:
        return {"posts": 0} if language == "ru" and week < 11 else {}

    streams = {**STREAMS, ("ja", "tweet"): 12, ("ru", "forum"): 500}
    report = report_of(tmp_path, 14, streams=streams, change=change)
    reasons = {one.language: one.reason for one in report.uncharted}
    assert reasons["ja"] == "0 of the 8 weeks of the reference have 30 posts or more; 4 are needed"
    assert reasons["ru"].startswith("begins in 2026-W11, after the reference")
    assert "languages" in {alarm.metric for alarm in report.holding}


def test_rows_are_sums_of_cells(tmp_path: Path) -> None:
    cells = weekly_cells(9)
    report = report_of(tmp_path, 9)
    everything = report.streams[-1]
    assert (everything.language, everything.source) == ("all", "all")
    for row in everything.weeks:
        of_week = [one for one in cells if one.week == row.week]
        posts, flagged, p = (sum(getattr(one, name) for one in of_week) for name in ("posts", "flagged", "p_sum"))
        assert (row.posts, row.flagged) == (posts, flagged)
        assert row.flag_rate == pytest.approx(flagged / posts)
        assert row.expected_share == pytest.approx(p / posts)
        assert row.expected_precision == pytest.approx(sum(one.p_flagged for one in of_week) / flagged)
        assert row.expected_recall == pytest.approx(sum(one.p_flagged for one in of_week) / p)
        assert sum(row.scores) == sum(row.lengths) == posts
    assert everything.reference is not None
    assert everything.reference.posts == sum(one.posts for one in cells if one.week <= week_name(8))


def test_points_beyond_the_band_are_those_that_alarm(tmp_path: Path) -> None:
    report = report_of(tmp_path, 16, change=lambda week, *_: {"prevalence": 0.15} if week > 14 else {})
    points = [point for chart in report.charts for point in chart.points]
    assert any(point.alarm for point in points)
    for point in points:
        inside = point.high is None or ((point.low is None or point.low <= point.mean) and point.mean <= point.high)
        assert point.alarm == (not inside)


def test_arrays_are_the_cells_of_each_week() -> None:
    cells = weekly_cells(3, streams={("en", "forum"): 50, ("ja", "forum"): 40})
    weeks: list[list[CellCounts]] = [cells[index : index + 2] for index in (0, 2, 4)]
    counts = weekly_counts(weeks)
    assert counts.posts.tolist() == [sum(one.posts for one in some) for some in weeks]
    assert counts.scores.sum(1).tolist() == counts.lengths.sum(1).tolist() == counts.posts.tolist()
    assert counts.scripts.shape == (3, 1)


def test_an_empty_monitor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").touch()
    with pytest.raises(DataError, match="holds no posts yet"):
        make_report(read_monitor(tmp_path / "m.jsonl"))


def test_fewer_false_alarms_are_wider_limits(tmp_path: Path) -> None:
    monitor = made_monitor(tmp_path / "m.jsonl", 12)
    narrow, wide = (make_report(monitor, MonitorSpec(false_alarms=number)) for number in (5.0, 0.1))
    for one, other in zip(narrow.charts, wide.charts, strict=True):
        assert one.threshold < other.threshold
        assert [point.statistic for point in one.points] == [point.statistic for point in other.points]


ESTIMATE: dict[str, Any] = {
    "name": "en",
    "read": 40,
    "true_positives": 30,
    "recall": {"value": None, "low": 0.2, "high": 0.35},
    "remarks": ["No single value is given."],
}


def test_audited_metrics_stand_beside_the_scores(tmp_path: Path) -> None:
    document = {
        "head_seq": 3,
        "languages": [
            {"name": "en", "read": 40, "positives": 30, "estimate": ESTIMATE, "remarks": ["No single value is given."]},
            {"name": "fr", "read": 0, "positives": 0, "estimate": None, "remarks": ["Not estimated."]},
        ],
    }
    report = make_report(made_monitor(tmp_path / "m.jsonl", 9), audited=audited_of(document, week="2026-W09"))
    english, french = report.audited
    assert (english.week, english.read, english.positives, english.precision) == ("2026-W09", 40, 30, 0.75)
    assert english.precision_interval.low < 0.75 < english.precision_interval.high
    assert english.recall is not None
    assert english.recall.value is None
    stream = next(one for one in report.streams if (one.language, one.source) == ("en", "all"))
    assert english.recall_by_scores == pytest.approx(stream.weeks[-1].expected_recall)
    assert "the calibration does not hold" in english.remarks[-1]
    assert french.precision is None
    assert french.recall is None
    assert french.recall_by_scores is None
    assert french.remarks[0] == "Nothing was read because of its score."


def test_metrics_of_estimate_are_read_too(tmp_path: Path) -> None:
    part = {"estimate": ESTIMATE, "flags_recall": {"value": 0.5, "low": 0.4, "high": 0.6}, "flagged_unread": 0}
    unread = {"estimate": ESTIMATE | {"name": "de"}, "flags_recall": None, "flagged_unread": 7}
    data = {"scored": ["x"], "languages": [part, unread], "pooled": part | {"estimate": ESTIMATE | {"name": "all"}}}
    (tmp_path / "estimate.json").write_text(__import__("json").dumps({"ok": True, "data": data}), encoding="utf-8")
    metrics: tuple[AuditedMetrics, ...] = read_audited(f"2026-W09={tmp_path / 'estimate.json'}")
    assert [one.language for one in metrics] == ["en", "de", "all"]
    assert metrics[0].recall is not None
    assert metrics[0].recall.value == 0.5
    assert "7 flagged posts were not read" in metrics[1].remarks[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no audited metrics"),
        ('{"data": {"languages": []}}', "holds no audited metrics: pooled"),
        ('{"head_seq": 1, "languages": [{"name": 1}]}', "holds no audited metrics: languages.0.name"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_other_documents_hold_no_metrics(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "m.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_audited(str(tmp_path / "m.json"))
    with pytest.raises(DataError, match="no such file"):
        read_audited(str(tmp_path / "absent.json"))
    with pytest.raises(DataError, match="--audited: 'week12' is not a week"):
        read_audited(f"week12={tmp_path / 'm.json'}")
