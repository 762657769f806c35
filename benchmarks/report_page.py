"""The report of the demo, or of a bundle on a file: its size, how long it takes to write, and to load in a browser.

    python benchmarks/report_page.py                            the demo's, on synthetic posts
    python benchmarks/report_page.py BUNDLE POSTS.csv [--split test]

Loading is headless Chromium from start to the finished page, less the same for an empty page: medians of 5.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--dump-dom",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="a bundle and a file of labelled posts")
    parser.add_argument("--split", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        line = ["demo"] if not arguments.paths else ["report", *arguments.paths]
        line += ["--split", arguments.split] if arguments.split else []
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "polyvigil", *line, "-o", f"{folder}/report", "-q"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        print(f"polyvigil {line[0]}, all of it: {time.perf_counter() - begun:.1f} s")
        page = Path(folder) / "report" / "report.html"
        for path in (page, page.with_suffix(".json")):
            print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB")
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        if not browser:
            raise SystemExit("no chromium: the time to load is not measured")
        empty = Path(folder) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
        seconds = {path: [_load(browser, path, folder) for _ in range(ROUNDS)] for path in (empty, page)}
        medians = [statistics.median(values) for values in seconds.values()]
        print(f"loading: {medians[1] - medians[0]:.2f} s beyond the {medians[0]:.2f} s of an empty page")


def _load(browser: str, page: Path, folder: str) -> float:
    begun = time.perf_counter()
    subprocess.run(
        [browser, *QUIET, f"--user-data-dir={folder}/browser", page.as_uri()], check=True, capture_output=True
    )
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
