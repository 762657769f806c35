"""The report: its figures are the evaluation's, it stands alone, and no name can break out of it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise, product
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.evaluation.fixed import measure_fixed

from polyvigil.bundle.store import Bundle
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.intervals import Interval
from polyvigil.evaluation.measure import Measured
from polyvigil.report.render import report_html, write_report
from polyvigil.report.report import Report, report_of
from polyvigil.types import LabelledPost, Post

_VOID = {"br", "meta"}
_RTL_OVERRIDE = "\u202e"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}{% include 'x' %}",
    f"abc{_RTL_OVERRIDE}fdp.exe",
    "x" * 3000,
    "nul\0 surrogate\ud800 bell\a",
)


class Page(HTMLParser):
    """A parsed page; raises AssertionError where a tag is not closed in turn."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.cells: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> closes itself outside an svg"
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


@pytest.fixture(scope="module")
def report(report_measured: Measured, report_bundle: Bundle) -> Report:
    return report_of(
        report_measured, report_bundle, note="Synthetic text.", command="polyvigil evaluate --report", show_errors=2
    )


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return report_html(report)


def _page(measured: Measured, bundle: Bundle, **changes: object) -> str:
    """The page of an evaluation with some fields changed."""
    evaluation = measured.evaluation.model_copy(update=changes)
    return report_html(report_of(replace(measured, evaluation=evaluation), bundle))


def _hostile(bundle: Bundle, name: str) -> str:
    """A report in which everything that has a name, an id or a text has this one."""
    policy = bundle.policy.model_copy(
        update={
            "thresholds": MappingProxyType({name: bundle.policy.fallback, **bundle.policy.thresholds}),
            "dev_fingerprint": name,
        }
    )
    manifest = bundle.manifest.model_copy(
        update={
            "created": name,
            "normalisation": name,
            "libraries": {name: name},
            "trained_languages": (name,),
            "tuned_languages": (name, name),
        }
    )
    language = name.encode(errors="replace").decode()  # a code is checked when posts are read, the rest is not
    posts = [LabelledPost(Post(name, name, language, name), int(place < 30)) for place in range(90)]
    measured = measure_fixed(posts, policy, data=name)
    changes = {"bundle": name, "data_fingerprint": name, "cautions": (name,)}
    measured = replace(measured, evaluation=measured.evaluation.model_copy(update=changes))
    hostile = replace(bundle, manifest=manifest, policy=policy)
    told = report_of(measured, hostile, title=name, note=name, command=name, older=hostile, show_errors=2)
    return report_html(told)


def test_tags_are_balanced_and_ids_unique(html: str) -> None:
    page = Page(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert len(page.values("id")) == len(set(page.values("id")))
    assert {"script", "link", "img", "iframe", "a", "form", "style"} & set(page.tags) == {"style"}
    named = {part for value in page.values("aria-labelledby") for part in value.split()}
    assert named <= set(page.values("id"))


def test_nothing_is_fetched(html: str) -> None:
    assert "//" not in html
    assert not re.search(r"@import|url\(|javascript:", html)
    assert all(value.startswith("#icon-") for value in Page(html).values("href"))
    assert not Page(html).values("src")
    assert len(html.encode()) < 150_000


def test_table_rows_show_the_evaluation(html: str, report_evaluation: Evaluation) -> None:
    cells = Page(html).cells
    for part in (*report_evaluation.languages, *report_evaluation.types):
        starts = [place for place, cell in enumerate(cells) if cell.startswith(part.name) and cell != "Language"]
        shown = [cells[place + 1 : place + 8] for place in starts]
        assert [
            f"{part.posts:,}",
            f"{part.positives:,}",
            f"{part.flagged:,}",
            f"{part.precision:.3f}{_range(part.precision_interval)}",
            f"{part.recall:.3f}{_range(part.recall_interval)}" if part.positives else "–no positives",
            f"{part.f1:.3f}{_range(part.f1_interval)}" if part.positives else "–no positives",
            f"{part.average_precision:.3f}{_range(part.average_precision_interval)}"
            if part.positives
            else "–no positives",
        ] in shown
        if part.threshold is not None:
            assert f"{part.threshold:.3f}{part.threshold_source}" in cells


def _range(interval: Interval) -> str:
    return f"{interval.low:.3f}–{interval.high:.3f}"


def test_every_cell_is_named_after_its_column(html: str) -> None:
    """On a narrow screen each row is a list, whose items have the names of their columns."""
    tables = re.findall(r"<table>(.*?)</table>", html, re.DOTALL)
    assert tables
    for table in tables:
        heads = re.findall(r"<th\b[^>]*>(.*?)</th>", table.partition("</thead>")[0], re.DOTALL)
        names = [" ".join(re.sub(r"<[^>]*>", " ", head).split()) for head in heads]
        assert all(names)
        for row in re.findall(r"<tr\b.*?</tr>", table.partition("</thead>")[2], re.DOTALL):
            assert re.findall(r'<t[dh] data-label="([^"]*)"', row) == names


def test_headline_values(html: str, report_evaluation: Evaluation) -> None:
    pooled = report_evaluation.pooled
    shown = [text.strip() for text in Page(html).text]
    for value in (pooled.f1, pooled.precision, pooled.recall, pooled.average_precision, report_evaluation.macro_f1):
        assert f"{value:.3f}" in shown
    assert f"{report_evaluation.workload.pooled.per_ade.value:.1f}" in shown
    for interval in (pooled.average_precision_interval, report_evaluation.macro_f1_interval):
        assert _range(interval) in shown
    assert "4,727" in shown  # with a thousands separator, and without the 90 CADEC posts
    assert any("among the 4,817 read are left out" in text for text in shown)
    assert any("one without positives counts 0" in text for text in shown)


def test_untrained_languages_have_a_badge(html: str) -> None:
    cells = Page(html).cells
    assert [cell for cell in cells if "not validated" in cell] == ["faPersiannot validated"] * 2
    assert "de_cadecGerman, CADEC" in cells


def test_chart_has_a_mark_and_text_for_each_language(html: str, report_evaluation: Evaluation) -> None:
    marks = re.findall(r'<circle class="mark (dot|ring)" cx="([\d.]+)%"', html)
    drawn = [part for part in report_evaluation.languages if part.positives]
    assert marks == [("dot" if part.validated else "ring", f"{100 * part.f1:.2f}") for part in drawn]
    assert html.count("no positives, no F1</text>") == 1
    text = re.search(r'<desc id="chart-text">(.*?)</desc>', html)
    assert text is not None
    first = report_evaluation.languages[0]
    assert f"de: {first.f1:.3f}, from {first.f1_interval.low:.3f} to {first.f1_interval.high:.3f};" in text[1]
    assert "fr: no positives, no F1;" in text[1]


@pytest.mark.parametrize(("f1", "anchor"), [(0.02, "start"), (0.5, "middle"), (0.97, "end")])
def test_the_label_of_the_pooled_line_stays_inside(
    clean_measured: Measured, report_bundle: Bundle, f1: float, anchor: str
) -> None:
    html = _page(clean_measured, report_bundle, pooled=clean_measured.evaluation.pooled.model_copy(update={"f1": f1}))
    assert f'x="{100 * f1:.2f}%" y="16" style="text-anchor: {anchor}"' in html


def test_reproduce_box(html: str, report_evaluation: Evaluation, report_bundle: Bundle) -> None:
    text = "".join(Page(html).text)
    for fact in (
        "polyvigil evaluate --report",
        report_bundle.id,
        "bundles/spring",
        report_evaluation.data_fingerprint,
        report_bundle.policy.dev_fingerprint,
        "gladiators-1",
        "numpy 2.0.1",
        "2026-05-01T12:00:00+00:00",
        "de, de_cadec, en, fr, ja",
        "47,547",
        "3,478",
        "e3f4" * 8,
    ):
        assert fact in text
    cells = Page(html).cells
    fallback = report_bundle.policy.fallback
    place = cells.index("any other")
    assert cells[place + 1 : place + 4] == [f"{fallback.value:.3f}", "fallback", "mean"]
    own = report_bundle.policy.thresholds["en"]
    assert f"{own.value:.3f}{own.low:.3f}–{own.high:.3f}" in cells


@pytest.mark.parametrize(
    ("same_set", "cautions", "word"), [(False, (), "Pass"), (False, ("x",), "Warning"), (True, (), "Fail")]
)
def test_advice_stands_first_and_then_the_verdict(
    clean_measured: Measured, report_bundle: Bundle, same_set: bool, cautions: tuple[str, ...], word: str
) -> None:
    html = _page(clean_measured, report_bundle, same_set=same_set, cautions=cautions)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert headings[:2] == ["What to do", f'<span class="unseen">Verdict: </span>{word}']
    assert ("<h3>Cautions</h3>" in html) == bool(cautions)


def test_empty_sections_are_left_out(clean_measured: Measured, report_bundle: Bundle) -> None:
    html = _page(clean_measured, report_bundle)
    assert "<title>Finding adverse drug events in new.csv</title>" in html
    assert 'role="note"' not in html
    assert "<pre" not in html
    assert "<blockquote" not in html
    assert "and no text of any post" in html
    assert "en post 1" not in html


def test_no_positives_and_no_flags(clean_measured: Measured, report_bundle: Bundle) -> None:
    clean_evaluation = clean_measured.evaluation
    whole = Interval(low=0.0, high=1.0)
    nothing = {"positives": 0, "flagged": 0, "tp": 0, "fp": 0, "fn": 0, "f1": 0.0, "f1_interval": whole}
    languages = [part.model_copy(update={**nothing, "threshold": 0.00004}) for part in clean_evaluation.languages]
    pooled = clean_evaluation.pooled.model_copy(update=nothing)
    page = Page(_page(clean_measured, report_bundle, pooled=pooled, languages=tuple(languages)))
    assert "None of the posts is labelled as an ADE." in "".join(page.text)
    assert "–none flagged" in page.cells
    assert "4.0e-05own" in page.cells
    assert "reference-label" not in page.values("class")
    assert "No positives among these posts: no precision, no recall, no F1." in page.text


def test_the_page_shows_what_the_json_holds(report: Report, html: str, tmp_path: Path) -> None:
    page = write_report(report, tmp_path)
    twin = Report.model_validate_json((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert page.read_text(encoding="utf-8") == html
    assert report_html(twin) == html
    figures = Evaluation.model_validate_json((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert figures == twin.evaluation


def test_a_report_is_the_same_each_time(report: Report, report_measured: Measured, report_bundle: Bundle) -> None:
    note, command = "Synthetic text.", "polyvigil evaluate --report"
    again = report_of(report_measured, report_bundle, note=note, command=command, show_errors=2)
    assert again.model_dump_json() == report.model_dump_json()


def test_dev_posts_show_cross_fitted_values(dev_measured: Measured, report_bundle: Bundle) -> None:
    html = report_html(report_of(dev_measured, report_bundle))
    cells = Page(html).cells
    evaluation = dev_measured.evaluation
    for part in (*evaluation.languages, evaluation.pooled):
        crossed = part.cross_fitted
        assert crossed is not None
        if part.positives:
            assert f"{crossed.f1:.3f}{_range(crossed.f1_interval)}same set {part.f1:.3f}" in cells
            assert f"{crossed.recall:.3f}{_range(crossed.recall_interval)}same set {part.recall:.3f}" in cells
    assert "Pooled F1, cross-fitted" in html
    assert html.count('<line class="same-set"') == sum(bool(part.positives) for part in evaluation.languages) + 1


def test_epochs_seeds_and_lengths_are_shown(report_measured: Measured, trained_bundle: Bundle) -> None:
    report = report_of(report_measured, trained_bundle, older=trained_bundle)
    html = report_html(report)
    cells = Page(html).cells
    place = cells.index("seed 123", cells.index("seed 123") + 1)  # the second table of members
    assert cells[place + 8 : place + 16] == [
        *("seed 123", "2kept", "0.0141", "5.0e-06", "0.721", "2.0 min", "812.5", "9.7 GB")
    ]
    assert len(report.subsets) == 7
    for subset in report.subsets:
        row = cells.index(" + ".join(subset.members), cells.index("Dev F1cross-fitted"))
        assert cells[row + 1 : row + 3] == [f"{subset.same_set_f1:.3f}", f"{subset.cross_fitted_f1:.3f}"]
    assert [part.truncated for part in report.lengths if part.name == "en"] == [878]  # all but the posts 0 to 9
    assert len(re.findall(r'<path class="curve dash-[012]" d="M', html)) == 9
    assert report.since is not None
    assert all(shift.old == shift.new for shift in report.since.shifts)
    assert "Since bundle" in html


@pytest.mark.parametrize("name", HOSTILE, ids=["script", "attribute", "template", "bidi", "long", "control"])
def test_hostile_names_stay_text(name: str, report_bundle: Bundle) -> None:
    html = _hostile(report_bundle, name)
    page = Page(html)
    assert {"script", "img"}.isdisjoint(page.tags)
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert "49" not in page.values("title")
    assert len(html.encode("utf-8")) < 500_000
    assert not set(html) & {_RTL_OVERRIDE, "\0", "\a", "\ud800"}
    text = "".join(page.text)
    if name.isprintable():
        assert text.count(name) >= 12
    else:
        assert text.count("\N{REPLACEMENT CHARACTER}") >= 12


def _colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", css))


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_the_contrast_of_wcag_aa_in_light_and_dark(html: str) -> None:
    light, dark = html.split("prefers-color-scheme: dark", 1)
    for colours in (_colours(light), _colours(dark.split("box-sizing")[0])):
        levels = ("pass", "warn", "fail")
        for ink, paper in (
            *product(("ink", "muted", "accent", *levels), ("paper", "soft")),
            *product(("ink", *levels), [f"{level}-soft" for level in levels]),
        ):
            low, high = sorted((_luminance(colours[ink]), _luminance(colours[paper])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)


def test_headings_step_down_one_at_a_time(html: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_print_rules_keep_rows_and_charts_whole(html: str) -> None:
    printed = html[html.index("@media print") : html.index("</style>")]
    assert "break-inside: avoid" in printed
    assert ".panels" in printed
    assert "overflow: visible" in printed
