"""Slices and the dev comparison in the report: the figures of the JSON twin, escaped, on a narrow screen."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.fixed import measure_fixed, posts_of
from tests.report.test_render import HOSTILE, Page
from tests.report.test_render_browser import CHROMIUM, PROBE, _open, _payloads

from polyvigil.bundle.store import Bundle
from polyvigil.evaluation.measure import Measured
from polyvigil.evaluation.slices import Column
from polyvigil.report.render import report_html, write_report
from polyvigil.report.report import Report, report_of
from polyvigil.text.visible import visible
from polyvigil.types import LabelledPost, Post


def _report(bundle: Bundle, dev: Measured, name: str, values: list[str], *, language: str = "de") -> Report:
    """A report sliced by a column ``name`` with these ``values``, beside the dev posts of the bundle."""
    items = [*posts_of(language, 90, 30), *posts_of("en", 60, 12), *posts_of("fa", 30, 3)]
    cells = np.array([values[number % len(values)] for number in range(len(items))], dtype=np.str_)
    languages = [part.model_copy(update={"name": language}) for part in dev.evaluation.languages if part.name == "de"]
    languages += [part for part in dev.evaluation.languages if part.name == "en"]
    measured = measure_fixed(items, bundle.policy, columns=(Column(name, cells),), dev=languages)
    return report_of(measured, bundle)


@pytest.fixture(scope="module")
def sliced(report_bundle: Bundle, dev_measured: Measured) -> Report:
    return _report(report_bundle, dev_measured, "kind", ["tweet", "review", ""])


def test_the_rows_are_those_of_the_json(sliced: Report, tmp_path: Path) -> None:
    html = write_report(sliced, tmp_path).read_text(encoding="utf-8")
    assert report_html(Report.model_validate_json((tmp_path / "report.json").read_text(encoding="utf-8"))) == html
    cells = Page(html).cells
    (column,) = sliced.evaluation.slices
    assert (column.column, column.values) == ("kind", 3)
    for part in (*column.languages, *column.pooled):
        metrics = part.metrics
        name = f"{metrics.name}{part.language}{'few positives' if part.few_positives else ''}"
        row = cells[cells.index(name) + 1 :]
        interval = metrics.f1_interval
        assert row[:3] == [f"{metrics.posts:,}", f"{metrics.positives:,}", f"{metrics.flagged:,}"]
        assert row[5] == f"{metrics.f1:.3f}{interval.low:.3f}–{interval.high:.3f}"
    comparison = sliced.evaluation.dev_comparison
    assert comparison is not None
    assert [part.name for part in comparison.languages] == ["de", "en"]
    assert comparison.pooled is not None
    assert comparison.macro_f1 is not None
    for difference in (*(part.f1 for part in comparison.languages), comparison.pooled.f1, comparison.macro_f1):
        shown = f"{difference.difference:+.3f}{difference.low:+.3f} to {difference.high:+.3f}".replace("-", "−")
        assert shown in cells
        interval = difference.dev_interval
        assert f"{difference.dev:.3f}{interval.low:.3f}–{interval.high:.3f}" in cells
    place = cells.index("faPersiannot validated", cells.index("Differencein F195% interval"))
    (foreign,) = (part for part in sliced.evaluation.languages if part.name == "fa")
    here = f"{foreign.f1:.3f}{foreign.f1_interval.low:.3f}–{foreign.f1_interval.high:.3f}"
    assert cells[place + 1 : place + 7] == ["–", here, "–", "–", "–", "–"]


def test_no_slices_are_shown_without_columns(
    report_measured: Measured, dev_measured: Measured, report_bundle: Bundle
) -> None:
    for measured in (report_measured, dev_measured):
        html = report_html(report_of(measured, report_bundle))
        assert "Against the dev posts" not in html
        assert "By column" not in html


@pytest.mark.parametrize("name", HOSTILE, ids=["script", "attribute", "template", "bidi", "long", "control"])
def test_hostile_columns_values_and_languages_stay_text(
    name: str, report_bundle: Bundle, dev_measured: Measured
) -> None:
    language = name.encode(errors="replace").decode()
    html = report_html(_report(report_bundle, dev_measured, name, [name[:40], "tweet"], language=language))
    page = Page(html)
    assert {"script", "img"}.isdisjoint(page.tags)
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert len(page.values("id")) == len(set(page.values("id")))
    assert not set(html) & {"\u202e", "\0", "\a", "\ud800"}
    section = html[html.index('aria-labelledby="slices"') : html.index('aria-labelledby="thresholds"')]
    assert section.count('dir="auto"') >= 5
    assert str(visible(name.replace("\ud800", "\ufffd"))) in "".join(page.text)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on this machine")
def test_hostile_values_are_harmless_in_a_browser(
    report_bundle: Bundle, dev_measured: Measured, tmp_path: Path
) -> None:
    payloads = _payloads("http://127.0.0.1:9")
    report = _report(report_bundle, dev_measured, payloads[1] + "x" * 300, ["tweet", "review"], language="x" * 300)
    (column,) = report.evaluation.slices
    rows = tuple(
        part.model_copy(update={"language": text, "metrics": part.metrics.model_copy(update={"name": text})})
        for text in payloads
        for part in column.pooled[:1]
    )
    slices = (column.model_copy(update={"languages": rows}),)
    report = report.model_copy(update={"evaluation": report.evaluation.model_copy(update={"slices": slices})})
    html = re.sub(r"<meta http-equiv=[^>]*>", "", report_html(report), count=1)
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    (tmp_path / "probe.html").write_text(PROBE, encoding="utf-8")
    dom, complaints = _open(tmp_path / "report.html", tmp_path / "profile")
    assert complaints == []
    assert "data-broken" not in dom.split(">", 2)[1]
    assert not re.search(r"<(script|iframe|img|link|object|input|video|math|template)\b", dom)
    dom, complaints = _open(tmp_path / "probe.html", tmp_path / "profile")
    assert complaints == []
    widths = re.search(r"<title>widths (\d+) (\d+)</title>", dom)
    assert widths is not None, dom
    assert int(widths[1]) <= int(widths[2])


def test_one_language_has_no_comparison(report_bundle: Bundle, dev_measured: Measured) -> None:
    items = [LabelledPost(Post(f"p{number}", "text", "und"), number % 2) for number in range(9)]
    measured = measure_fixed(items, report_bundle.policy, dev=dev_measured.evaluation.languages)
    html = report_html(report_of(measured, report_bundle))
    Page(html)
    assert "Against the dev posts" in html
    assert "Pooled" in html
