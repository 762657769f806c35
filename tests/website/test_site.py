"""The site as it is built: by MkDocs Material and by Zensical, strictly, and looked at in the installed Chromium."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.axe import axe_path
from tests.website.conftest import ROOT

SITES = {"site": ("index.html", "tutorial.html", "reference/flags.html", "measured.html", "python.html")}
SITES["site-mkdocs"] = SITES["site"][:3]
MODES: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 360, "height": 740}},
}
AXE = axe_path()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
REQUIRED = os.environ.get("POLYVIGIL_REQUIRE", "").split(",")
"""Of ``browser`` and ``axe`` what must be there, so that nothing is left out unseen."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(
    not (importlib.util.find_spec("zensical") and importlib.util.find_spec("material")),
    reason="the documentation site is not installed: pip install 'polyvigil[docs]'",
)
def test_the_site_is_built_and_reads_well() -> None:
    """One test, so that one process builds: strict builds, links, then the browser."""
    built = subprocess.run(
        [sys.executable, "-m", "website.build"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert AXE or "axe" not in REQUIRED
    if CHROMIUM is None:
        assert "browser" not in REQUIRED
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        found = [line for site in SITES for mode in MODES for line in _looked_at(browser, site, mode)]
        hits = {site: _search(browser, site) for site in SITES}
        browser.close()
    assert not found, "\n".join(found)
    assert all("reference/columns.html" in target for target in hits.values()), hits


def _looked_at(browser: Any, site: str, mode: str) -> Iterator[str]:
    """What is wrong with the pages of a site in one mode: errors, requests, width, findings of axe."""
    context = browser.new_context(**MODES[mode])
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
    for name in SITES[site]:
        tab.goto((ROOT / "build" / site / name).as_uri(), wait_until="load")
        tab.wait_for_timeout(200)
        widths = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        if widths[0] > widths[1]:
            wrong.append(f"{widths[0]} wide on {widths[1]}")
        if AXE:
            tab.evaluate(AXE.read_text(encoding="utf-8"))
            options = {"runOnly": TAGS, "resultTypes": ["violations"], "preload": False}
            for violation in tab.evaluate(f"axe.run(document, {json.dumps(options)})")["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    wrong.append(f"{violation['id']}: {violation['nodes'][0]['html'][:200]}")
        yield from (f"{site} {mode} {name}: {line}" for line in wrong)
        wrong.clear()
    context.close()


def _search(browser: Any, site: str) -> str:
    """What the search finds in pages opened from a folder: the first result that names what is searched for."""
    tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    tab.goto((ROOT / "build" / site / "index.html").as_uri(), wait_until="load")
    tab.wait_for_timeout(500)
    button = tab.locator(".md-search__button")
    if button.count():
        button.first.click()
    else:
        tab.keyboard.press("s")
    tab.wait_for_timeout(300)
    tab.keyboard.type("threshold_source", delay=20)
    result = tab.locator("a", has_text="threshold_source").first
    result.wait_for(state="visible", timeout=20_000)
    target: str = result.get_attribute("href")
    tab.context.close()
    return target
