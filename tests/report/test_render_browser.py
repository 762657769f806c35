"""The report in a real browser: every row and picture there, no complaint, nothing run or fetched, no page too wide."""

from __future__ import annotations

import http.server
import re
import shutil
import struct
import subprocess
import threading
import zlib
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from itertools import product
from pathlib import Path

import pytest
from tests.evaluation.fixed import measure_fixed

from polyvigil.bundle.layout import FileEntry
from polyvigil.bundle.store import Bundle
from polyvigil.evaluation.measure import Measured
from polyvigil.report.chart_data import Mistake
from polyvigil.report.render import report_html
from polyvigil.report.report import Report, report_of
from polyvigil.text.visible import visible
from polyvigil.types import LabelledPost, Post

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


def _shot(page: Path, folder: Path, *, width: int, dark: bool) -> tuple[tuple[int, int], bytes, bytes]:
    """Size of a screenshot, its first pixel (red, green, blue), and its image data, filtered row by row."""
    assert CHROMIUM is not None
    picture = folder / f"{width}-{dark}.png"
    flags = [flag for flag in FLAGS if flag != "--dump-dom"]
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [CHROMIUM, *flags, *theme, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1600"]
    subprocess.run([*command, f"--screenshot={picture}", page.as_uri()], capture_output=True, timeout=120, check=True)
    raw, place, data = picture.read_bytes(), 8, b""
    while place < len(raw):
        length, kind = struct.unpack(">I4s", raw[place : place + 8])
        data += raw[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += 12 + length
    rows = zlib.decompress(data)
    return struct.unpack(">II", raw[16:24]), rows[1:4], rows


def test_a_browser_shows_every_row_without_complaint(
    report_measured: Measured, trained_bundle: Bundle, tmp_path: Path
) -> None:
    report = report_of(report_measured, trained_bundle, note="Synthetic text.", command="polyvigil evaluate")
    html = report_html(report)
    page = tmp_path / "report.html"
    page.write_text(html, encoding="utf-8")
    dom, complaints = _open(page, tmp_path / "profile")
    assert complaints == []
    tables = re.findall(r"<tbody>(.*?)</tbody>", dom, re.DOTALL)
    languages, evaluation = len(report.evaluation.languages), report.evaluation
    assert [table.count("<tr>") for table in tables] == [
        *(languages, languages, languages, len(evaluation.types), len(report.policy.thresholds) + 1, 3, 9, 7)
    ]
    assert dom.count("<tr>") == html.count("<tr>")
    assert dom.count('<figure class="panel">') == html.count('<figure class="panel">') == 4 * languages - 2 + 2


def test_page_renders_light_dark_wide_and_narrow(
    report_measured: Measured, trained_bundle: Bundle, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(report_html(report_of(report_measured, trained_bundle)), encoding="utf-8")
    for width, dark, paper in ((1280, False, b"\xfc\xfc\xfa"), (400, True, b"\x14\x18\x1a")):
        size, first, rows = _shot(page, tmp_path, width=width, dark=dark)
        assert size == (width, 1600)
        assert first == paper
        assert len(set(rows)) > 100  # an empty page has a handful of values


class _Listener(http.server.BaseHTTPRequestHandler):
    """Remembers every request."""

    def do_GET(self) -> None:
        self.server.heard.append(self.path)  # type: ignore[attr-defined]
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _payloads(address: str) -> list[str]:
    """300 ways to break out of text, an attribute, a style, an SVG or a comment."""
    run = "document.documentElement.setAttribute(`data-broken`,1)"
    bodies = [
        f"<script>{run}</script>",
        f"<img src=x onerror={run}>",
        f"<svg onload={run}>",
        f"<svg><script>{run}</script></svg>",
        f"<iframe srcdoc='<script>parent.{run}</script>'></iframe>",
        f"<body onload={run}>",
        f"<details open ontoggle={run}>",
        f"<input autofocus onfocus={run}>",
        f"<video><source onerror={run}></video>",
        f"<img src={address}/img>",
        f"<link rel=stylesheet href={address}/css>",
        f"<style>@import '{address}/import';</style>",
        f"<script src={address}/js></script>",
        f"<meta http-equiv=refresh content='0;url={address}/refresh'>",
        f"<object data={address}/object></object>",
        f" onmouseover={run} autofocus onfocus={run} x=",
        f" style=background:url({address}/url) x=",
        "{{ cycler.__init__.__globals__ }}",
        f"<math><mi xlink:href=javascript:{run}>",
        f"<template><script>{run}</script></template>",
    ]
    starts = (
        "",
        '"',
        "'",
        '">',
        "'>",
        "</title>",
        "</textarea></style></script>",
        "--><!-- -->",
        "]]>",
        "&lt;",
        "\x00\u202e",
        "</code></pre>",
        "</svg></figure>",
        "</td></tr></table>",
        "`}\n",
    )
    return [start + body for start, body in product(starts, bodies)]


def test_three_hundred_payloads_run_nothing_and_fetch_nothing(
    report_measured: Measured, report_bundle: Bundle, tmp_path: Path
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Listener)
    server.heard = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    payloads = _payloads(f"http://127.0.0.1:{server.server_port}")
    assert len(set(payloads)) == 300
    try:
        report = _poisoned(report_of(report_measured, report_bundle), payloads)
        html = report_html(report)
        assert len(html.encode()) < 2_000_000
        page = tmp_path / "report.html"
        # Without its own ban on scripts, so that nothing but the escaping is tested.
        page.write_text(re.sub(r"<meta http-equiv=[^>]*>", "", html, count=1), encoding="utf-8")
        dom, complaints = _open(page, tmp_path / "profile")
    finally:
        server.shutdown()
        server.server_close()
    assert complaints == []
    assert server.heard == []  # type: ignore[attr-defined]
    assert '<html lang="en">' in dom
    assert not re.search(r"<(script|iframe|img|link|object|input|video|math|template)\b", dom)
    shown = unescape(re.sub(r"<[^>]*>", "", dom))
    for payload in payloads:
        assert "".join(str(visible(payload)).split()) in "".join(shown.split()), payload


def _poisoned(report: Report, payloads: Sequence[str]) -> Report:
    """Payloads as text, id, language, type, file, title, command, caution, member, file of the bundle."""
    evaluation = report.evaluation
    threshold = report.policy.fallback.model_copy(update={"warnings": tuple(payloads[:3]), "like": payloads[0]})
    entry = FileEntry(bytes=1, sha256="0" * 64)
    return report.model_copy(
        update={
            "title": payloads[7],
            "note": payloads[8],
            "command": payloads[9],
            "evaluation": evaluation.model_copy(
                update={
                    "data": payloads[3],
                    "bundle": payloads[4],
                    "cautions": tuple(payloads),
                    "types": tuple(evaluation.types[0].model_copy(update={"name": name}) for name in payloads),
                }
            ),
            "manifest": report.manifest.model_copy(
                update={"libraries": dict.fromkeys(payloads[:9], "1"), "files": dict.fromkeys(payloads[:9], entry)}
            ),
            "members": tuple(report.members[0].model_copy(update={"name": name, "kind": name}) for name in payloads),
            "policy": report.policy.with_thresholds(dict.fromkeys(payloads, threshold)),
            "mistakes": tuple(
                Mistake(
                    kind="false positive",
                    id=text,
                    language=text,
                    type=text,
                    p=0.9,
                    threshold=0.5,
                    text=text,
                    shortened=False,
                )
                for text in payloads
            ),
        }
    )


@pytest.mark.parametrize("name", ["de", '"><img src=x onerror=alert(1)>' + "x" * 400], ids=["plain", "hostile"])
def test_no_page_scrolls_sideways_at_360_pixels(
    name: str, report_measured: Measured, trained_bundle: Bundle, tmp_path: Path
) -> None:
    posts = [LabelledPost(Post(name, name, name, name), int(place < 9)) for place in range(60)]
    measured = measure_fixed(posts, trained_bundle.policy, data=name)
    evaluation = measured.evaluation.model_copy(update={"bundle": name, "cautions": (name,)})
    told = report_of(replace(measured, evaluation=evaluation), trained_bundle, note=name, command=name, show_errors=3)
    (tmp_path / "report.html").write_text(report_html(told), encoding="utf-8")
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE, encoding="utf-8")
    dom, complaints = _open(probe, tmp_path / "profile")
    assert complaints == []
    widths = re.search(r"<title>widths (\d+) (\d+)</title>", dom)
    assert widths is not None, dom
    assert int(widths[1]) <= int(widths[2])
