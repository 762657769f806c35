"""An Evaluation and its Bundle -> one HTML page. Formats and draws; computes no figure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from polyvigil.assess.evaluate import Evaluation, Slice
from polyvigil.assess.verdict import verdict
from polyvigil.bundle.store import Bundle
from polyvigil.text.language import base_language, is_cadec

_NAMES = {
    "de": "German",
    "en": "English",
    "fa": "Persian",
    "fr": "French",
    "ja": "Japanese",
    "ru": "Russian",
    "und": "undetermined",
    "zh": "Chinese",
}
_HEAD, _ROW, _FOOT = 30, 34, 30  # px: the chart's band for the label of the pooled line, one row, the axis
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of the chart. ``y`` in px; ``low``, ``at``, ``high`` in percent of the axis, as SVG wants them.

    ``shape`` is empty for a slice without positives, which has no F1.
    """

    name: str
    y: int
    low: str
    at: str
    high: str
    shape: Literal["dot", "ring", "diamond", ""]
    slice: Slice


@dataclass(frozen=True, slots=True)
class Chart:
    """Geometry of the dot-and-whisker chart, in px: the last mark is the pooled one, under the rule."""

    marks: tuple[Mark, ...]
    head: int
    row: int
    foot: int
    rule: int
    bottom: int
    anchor: Literal["start", "middle", "end"]
    """How the label of the pooled line stands to it, so that it stays inside the chart."""


def report_html(evaluation: Evaluation, bundle: Bundle, *, title: str = "", note: str = "", command: str = "") -> str:
    """The report: one self-contained HTML document, no script, nothing fetched.

    ``title`` replaces the heading, ``note`` is shown as a banner, ``command`` is the line that makes the same report.
    """
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            evaluation=evaluation,
            bundle=bundle,
            verdict=verdict(evaluation),
            chart=_chart(evaluation.languages, evaluation.pooled),
            title=title or f"Finding adverse drug events in {evaluation.data}",
            note=note,
            command=command,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("polyvigil.assess"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=_count, rate=_rate, threshold=_threshold, per_find=_posts_per_find, language_name=_language_name
    )
    return environment


def _visible(value: object) -> object:
    """A string without what would hide or turn round other text: control characters, bidi controls, lone surrogates."""
    if type(value) is not str:
        return value
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if character in _BIDI_CONTROLS or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t")
        else character
        for character in value
    )


def _count(number: int) -> str:
    return f"{number:,}"


def _rate(value: float) -> str:
    return f"{value:.3f}"


def _threshold(value: float) -> str:
    """Three places, or two digits where those would read 0."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _posts_per_find(part: Slice) -> str:
    """Flagged posts for each true positive among them, to 1 place: the inverse of precision, said for people."""
    return f"{part.flagged / part.tp:,.1f}" if part.tp else "–"


def _language_name(code: str) -> str:
    """``German, CADEC`` of ``de_cadec``; empty for a code without a name here."""
    name = _NAMES.get(base_language(code), "")
    return f"{name}, CADEC" if name and is_cadec(code) else name


def _chart(languages: Sequence[Slice], pooled: Slice) -> Chart:
    marks = [
        _mark(part, place, name=part.name, shape="dot" if part.validated else "ring")
        for place, part in enumerate(languages)
    ]
    marks.append(_mark(pooled, len(languages), name="pooled", shape="diamond"))
    bottom = _HEAD + _ROW * len(marks)
    anchor: Literal["start", "middle", "end"] = "middle"
    if pooled.f1 < 0.15:
        anchor = "start"
    elif pooled.f1 > 0.85:
        anchor = "end"
    return Chart(tuple(marks), _HEAD, _ROW, _FOOT, bottom - _ROW, bottom, anchor)


def _mark(part: Slice, place: int, *, name: str, shape: Literal["dot", "ring", "diamond"]) -> Mark:
    low, at, high = (f"{100 * x:.2f}%" for x in (part.f1_interval.low, part.f1, part.f1_interval.high))
    return Mark(name, _HEAD + _ROW * place + _ROW // 2, low, at, high, shape if part.positives else "", part)
