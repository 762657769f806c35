"""The page: whole without a request, escaped, readable by axe-core in light and dark, no wider than a telephone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.monitor.made import STREAMS, made_monitor
from tests.review.pages.conftest import axe, chromium

from polyvigil.monitor.audited import audited_of
from polyvigil.monitor.render import monitor_html
from polyvigil.monitor.report import MonitorReport, make_report

__all__ = ["axe", "chromium"]
HOSTILE = '"><img src=x onerror=alert(1)>'
METRICS: dict[str, Any] = {
    "head_seq": 3,
    "languages": [
        {"name": "en", "read": 40, "positives": 30, "estimate": None, "remarks": [f"Not estimated: {HOSTILE}"]},
    ],
}


def doubled(week: int, language: str, source: str) -> Mapping[str, Any]:
    return {"prevalence": 0.12} if week > 12 and source == "forum" else {}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> MonitorReport:
    """Alarms that hold, a stream without charts, audited metrics, a hostile name."""
    streams = {**STREAMS, ("ja", "tweet"): 9, ("ru", HOSTILE): 300}
    path = tmp_path_factory.mktemp("monitor") / "monitor.jsonl"
    return make_report(made_monitor(path, 14, streams=streams, change=doubled), audited=audited_of(METRICS, week=""))


def parsed(html: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """The elements of a page with their attributes."""
    elements: list[tuple[str, list[tuple[str, str | None]]]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            elements.append((tag, attrs))

    Parser().feed(html)
    return elements


def test_nothing_is_fetched_or_run_and_names_are_text(report: MonitorReport) -> None:
    html = monitor_html(report, command=f"polyvigil monitor report {HOSTILE}")
    assert "default-src 'none'" in html
    elements = parsed(html)
    assert {name for name, _ in elements} & {"script", "img", "iframe", "link", "object", "embed", "form", "a"} == set()
    attributes = [(name, value) for _, given in elements for name, value in given]
    assert not [name for name, _ in attributes if name in ("src", "srcset", "action", "data") or name.startswith("on")]
    assert {value for name, value in attributes if name == "href"} <= {"#icon-pass", "#icon-warn", "#icon-fail"}
    assert "url(" not in html
    assert "@import" not in html
    assert HOSTILE not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") > 4
    assert len(html.encode()) < 500_000


def test_every_chart_and_alarm_is_on_the_page(report: MonitorReport) -> None:
    html = monitor_html(report)
    assert html.count('class="curve"') == len(report.charts)
    assert html.count('class="panel alarm"') == len(report.holding) > 0
    assert html.count("<b>Alarm</b>") == len(report.holding)
    assert html.count('class="beyond"') == sum(point.alarm for chart in report.charts for point in chart.points)
    assert "ja/tweet is not charted: 0 of the 8 weeks" in html
    assert "0.750" in html


def test_the_volume_of_each_stream_is_drawn(report: MonitorReport) -> None:
    html = monitor_html(report).partition('id="volume"')[2].partition("</section>")[0]
    assert html.count("<svg") == len(report.streams)
    for stream in report.streams:
        rows = {row.week: row for row in stream.weeks}
        posts = [rows[week].posts if week in rows else 0 for week in report.weeks]
        words = f"{min(posts):,} to {max(posts):,} posts a week, {posts[-1]:,} in the newest;"
        assert html.count(f">{words}") >= 1
    drawn = sum(row.posts > 0 for stream in report.streams for row in stream.weeks)
    paths = re.findall(r'<path class="bars" d="([^"]*)"', html)
    assert sum(path.count("M") for path in paths) == drawn


def test_of_very_many_streams_the_page_shows_those_with_an_alarm_and_the_largest(tmp_path: Path) -> None:
    streams = {("en", f"feed{number}"): 60 + number for number in range(45)} | {("en", "small"): 59}

    def unreadable(week: int, language: str, source: str) -> Mapping[str, Any]:
        return {"unread": 50} if week > 8 and source == "small" else {}

    report = make_report(made_monitor(tmp_path / "m.jsonl", 10, streams=streams, change=unreadable))
    html = monitor_html(report)
    assert html.count("<details>") == 40
    assert "Of 47 streams the page shows charts and weeks of 40" in html
    assert '<h3 dir="auto">en/small</h3>' in html
    assert '<h3 dir="auto">en/feed44</h3>' in html
    assert '<h3 dir="auto">en/feed1</h3>' not in html


def test_the_same_report_gives_the_same_page(report: MonitorReport) -> None:
    assert monitor_html(report) == monitor_html(report)


@pytest.mark.parametrize("weeks", [1, 8, 9])
def test_a_monitor_that_has_just_begun_has_a_page(tmp_path: Path, weeks: int) -> None:
    html = monitor_html(make_report(made_monitor(tmp_path / "m.jsonl", weeks, streams={("und", ""): 100})))
    assert ("No limits yet" in html) == (weeks < 9)
    assert "None given." in html


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_no_page_is_too_wide(
    report: MonitorReport, chromium: Any, axe: str, scheme: str, tmp_path: Path
) -> None:
    page = tmp_path / "drift.html"
    # Without its own ban on scripts, since axe-core is one.
    page.write_text(re.sub(r"<meta http-equiv=[^>]*>", "", monitor_html(report)), encoding="utf-8")
    context = chromium.new_context(color_scheme=scheme, viewport={"width": 360, "height": 740})
    tab = context.new_page()
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("dialog", lambda dialog: problems.append(dialog.message))
    tab.on("request", lambda request: request.url == page.as_uri() or problems.append(request.url))
    tab.goto(page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    tab.evaluate(axe)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    result = tab.evaluate(f"axe.run(document, {{runOnly: {json.dumps(tags)}, resultTypes: ['violations']}})")
    context.close()
    assert [f"{one['id']} {one['nodes'][0]['html'][:200]}" for one in result["violations"]] == []
    assert problems == []
