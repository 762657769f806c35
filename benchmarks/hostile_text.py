"""Milliseconds that undoing HTML, cleaning and normalising take on 100 kB of hostile text; the target is under 50.

python benchmarks/hostile_text.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from polyvigil.text.html import undo_html
from polyvigil.text.normalise import clean, normalise

UNITS = {
    "piles of marks": "\u0301\u0323",
    "one letter": "a",
    "mentions": "@",
    "links": "http",
    "joiners": "a\u200c",
    "emoji": "👨\u200d👩\u200d",
    "open tags": "<use",
    "less-than signs": "<",
    "ampersands": "&",
    "entities": "&amp;",
    "open quotes": '<a b="',
    "open comments": "<!--",
    "open scripts": "<script>",
    "spaces": " \n",
    "half pairs": "\ud800",
}


def main() -> None:
    for name, unit in UNITS.items():
        text = unit * (100_000 // len(unit.encode("utf-8", "surrogatepass")))
        print(
            f"{name:<16} HTML {milliseconds(undo_html, text):6.1f} ms, clean {milliseconds(clean, text):6.1f} ms,"
            f" normalise {milliseconds(normalise, text):6.1f} ms"
        )


def milliseconds(step: Callable[[str], str], text: str) -> float:
    """The least of five runs."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        step(text)
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
