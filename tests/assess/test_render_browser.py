"""The report in a real browser: no complaint on its console, every row there, no page wider than a telephone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from polyvigil.assess.evaluate import Evaluation
from polyvigil.assess.render import report_html
from polyvigil.bundle.store import Bundle

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--v=0", "--allow-file-access-from-files", "--dump-dom"),
)
# Measures the page of report.html in a frame as wide as a narrow telephone.
PROBE = """<!DOCTYPE html><title>probe</title><iframe src="report.html" width="360" height="800" onload="
  const page = this.contentDocument.documentElement;
  document.title = 'widths ' + page.scrollWidth + ' ' + page.clientWidth"></iframe>"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on this machine"
)


def _open(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The page's DOM as text, and the lines its console wrote."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def test_a_browser_shows_every_row_without_complaint(
    report_evaluation: Evaluation, report_bundle: Bundle, tmp_path: Path
) -> None:
    html = report_html(report_evaluation, report_bundle, note="Synthetic text.", command="polyvigil evaluate")
    page = tmp_path / "report.html"
    page.write_text(html, encoding="utf-8")
    dom, complaints = _open(page, tmp_path / "profile")
    assert complaints == []
    languages, types = re.findall(r"<tbody>(.*?)</tbody>", dom, re.DOTALL)[:2]
    assert languages.count("<tr>") == len(report_evaluation.languages)
    assert types.count("<tr>") == len(report_evaluation.types)
    assert dom.count("<tr>") == html.count("<tr>")


@pytest.mark.parametrize("name", ["de", '"><img src=x onerror=alert(1)>' + "x" * 400], ids=["plain", "hostile"])
def test_no_page_scrolls_sideways_at_360_pixels(
    name: str, report_evaluation: Evaluation, report_bundle: Bundle, tmp_path: Path
) -> None:
    languages = (report_evaluation.languages[0].model_copy(update={"name": name}), *report_evaluation.languages[1:])
    evaluation = report_evaluation.model_copy(
        update={"languages": languages, "data": name, "bundle": name, "cautions": (name,)}
    )
    (tmp_path / "report.html").write_text(
        report_html(evaluation, report_bundle, note=name, command=name), encoding="utf-8"
    )
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE, encoding="utf-8")
    dom, complaints = _open(probe, tmp_path / "profile")
    assert complaints == []
    widths = re.search(r"<title>widths (\d+) (\d+)</title>", dom)
    assert widths is not None, dom
    assert int(widths[1]) <= int(widths[2])
