"""ReviewMetrics -> one HTML page to send on: no script, nothing fetched, no text of a post, no name of a person."""

from __future__ import annotations

from pathlib import Path

from polyvigil.bundle.outputs import OutputKind
from polyvigil.report.render import html_environment
from polyvigil.review.measuring import ReviewMetrics
from polyvigil.review.pages.looks import metrics_rows

_MARK = b"<b>polyvigil</b> review metrics"
_HEAD_BYTES = 1 << 16


def _is_earlier(path: Path) -> bool:
    with path.open("rb") as stream:
        return _MARK in stream.read(_HEAD_BYTES)


METRICS_HTML = OutputKind("page of metrics of a review store", _is_earlier)


def metrics_html(result: ReviewMetrics, *, looks: int = 1, command: str = "") -> str:
    """The page as text. ``looks``: how many the intervals are wide enough for; ``command``: what made it."""
    template = html_environment("polyvigil.review.pages").get_template("metrics_file.html.j2")
    return template.render(result=result, rows=metrics_rows(result), looks=looks, command=command)
