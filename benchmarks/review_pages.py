"""What a reviewer waits for on the review pages with many posts queued: key to next post, first paint, page weight.

    python benchmarks/review_pages.py [--tasks 100000] [--keys 200]

A store with so many tasks is made, ``polyvigil review open`` serves it as a process of its own, and headless Chromium
(playwright) signs in by the link, loads the pages and presses keys. Times are read in the page, by ``performance.now``
and the frame behind the key; the server's own part is timed by the fetch of each decision.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import sync_playwright

from polyvigil.review import event_log
from polyvigil.review.event_log import keyed_hash
from polyvigil.review.schema import batch, post, scoring, task, utc_text
from polyvigil.review.store import Store, open_store

BUNDLE = "0123456789abcdef"
LANGUAGES = ("de", "en", "fa", "fr", "ja", "ru", "zh")
TEXT = "Since I take these tablets I have had a headache every morning and cannot sleep; my doctor says it will pass."
_CHUNK = 10_000
_KEY = """async (count) => {
  const waited = [];
  for (let n = 0; n < count; n += 1) {
    const before = document.getElementById("text").textContent;
    const began = performance.now();
    document.getElementById("text").dispatchEvent(
      new KeyboardEvent("keydown", {key: n % 3 ? "x" : "a", code: "KeyX", bubbles: true}));
    while (true) {
      await new Promise(requestAnimationFrame);
      if (document.getElementById("text").textContent !== before && !document.getElementById("card").hidden) break;
    }
    waited.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  return waited;
}"""


def fill(store: Store, n: int) -> None:
    """Put ``n`` flagged posts and their tasks into an empty store."""

    def add(connection: sa.Connection, first: int) -> None:
        posts, scores, tasks = [], [], []
        for number in range(first, min(first + _CHUNK, n + 1)):
            language, p = LANGUAGES[number % len(LANGUAGES)], 0.99 - 0.4 * number / n
            mac = keyed_hash(store.mac_key, str(number))
            posts.append(
                {"id": number, "batch": 1, "source_id": f"post-{number}", "language": language, "type": "forum post"}
                | {"text": f"{TEXT} ({number})", "raw_text": None, "copy_of": None, "text_mac": mac}
            )
            scores.append(
                {"post": number, "bundle": BUNDLE, "p": p, "p_calibrated": p, "threshold": 0.5, "decision": 1}
                | {"threshold_source": "own", "spread": 0.0, "flags": "", "evidence_start": 0, "evidence_end": 67}
            )
            tasks.append(
                {"id": number, "post": number, "bundle": BUNDLE, "purpose": "queue", "inclusion_p": 1.0, "stratum": ""}
                | {"mode": "blind" if number % 5 == 0 else "assisted", "rank": float(number), "language": language}
                | {"reviews": 1, "state": "open"}
            )
        for table, rows in ((post, posts), (scoring, scores), (task, tasks)):
            connection.execute(sa.insert(table), rows)

    values: dict[str, Any] = {"id": 1, "file_name": "posts.csv", "file_sha256": "0" * 64, "bundle": BUNDLE}
    values |= {"n_posts": n, "n_rows": n, "state": "ready", "added_at": utc_text(time.time())}
    store.write(lambda connection: connection.execute(sa.insert(batch).values(values)))
    for first in range(1, n + 1, _CHUNK):
        store.write(lambda connection, first=first: add(connection, first))
    body = {"tasks": n, "closed": 0}
    store.write(lambda connection: event_log.append(connection, now=time.time(), reviewer=0, kind="add", body=body))


@contextmanager
def served(path: Path) -> Iterator[dict[str, Any]]:
    """The store served by a process of its own; its document when it was ready."""
    command = [sys.executable, "-m", "polyvigil", "review", "open", str(path), "--port", "0", "--json", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())["data"]
    finally:
        process.terminate()
        process.wait(60)


def find_chromium() -> str | None:
    """The Chromium that is installed; None: that of playwright."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def measure(link: str, url: str, *, keys: int) -> dict[str, Any]:
    """Times in milliseconds and sizes in bytes, by what they are of."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        sizes: dict[str, int] = {}
        tab.on("response", lambda answer: sizes.__setitem__(answer.url.removeprefix(url), _size(answer)))
        tab.goto(link)
        tab.wait_for_url(url + "/")
        paints: dict[str, list[float]] = {}
        for path in ("/", "/post", "/audit", "/log"):
            for _ in range(5):
                tab.goto(url + path)
                paints.setdefault(path, []).append(_first_paint(tab))
        results: dict[str, Any] = {}
        tab.goto(url + "/post")
        for name, pause in (("1 s apart", 1000), ("no pause", 0)):
            count = keys if pause == 0 else min(keys, 60)
            waited = tab.evaluate(_KEY.replace("PAUSE", str(pause)), count)
            results[name] = summary(waited)
        tab.wait_for_timeout(1000)
        sent = tab.evaluate(
            "performance.getEntriesByType('resource').filter((e) => e.name.includes('/decide')).map((e) => e.duration)"
        )
        browser.close()
    return {
        "key to next post": results,
        "decision sent and answered": summary(sent),
        "first paint": {path: round(statistics.median(values)) for path, values in paints.items()},
        "bytes": {path: size for path, size in sizes.items() if path in paints or path.startswith("/static")},
    }


def _size(answer: Any) -> int:
    try:
        return len(answer.body())
    except Exception:  # a redirect has no body
        return 0


def _first_paint(tab: Any) -> float:
    for _ in range(100):
        entries = tab.evaluate("performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)")
        if entries:
            return float(entries[0])
        tab.wait_for_timeout(20)
    raise RuntimeError("nothing was painted")


def summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
        "worst": round(ordered[-1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.db"
        with open_store(path, create=True) as store:
            fill(store, options.tasks)
        with served(path) as document:
            results = measure(document["link"], document["url"], keys=options.keys)
    print(json.dumps(results, indent=1))
    machine = platform.processor() or platform.machine()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {options.tasks:,} tasks, {machine}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
