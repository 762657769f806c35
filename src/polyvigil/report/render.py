"""A Report -> one HTML page, and the files of both. Formats and draws; computes no metric."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from polyvigil.bundle.outputs import OutputKind, check_output
from polyvigil.data.atomic import whole_folder
from polyvigil.decide.tune import FEW_POSITIVES
from polyvigil.glossary import meaning
from polyvigil.report import charts
from polyvigil.report.chart_data import PII_WARNING
from polyvigil.report.report import Report
from polyvigil.text.language import base_language, is_cadec
from polyvigil.text.visible import visible

HTML_FILE = "report.html"
TWIN = "report.json"
EVALUATION_FILE = "evaluation.json"

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


def _is_report(folder: Path) -> bool:
    """Whether a folder holds a report and nothing else."""
    return TWIN in (names := {path.name for path in folder.iterdir()}) and names <= {EVALUATION_FILE, TWIN, HTML_FILE}


REPORT = OutputKind("report", _is_report, folder=True)


def write_report(report: Report, folder: Path, *, replace: bool = False) -> Path:
    """Write ``folder`` with ``report.html``, its JSON twin ``report.json``, and of it ``evaluation.json``, all at once;
    returns the page's path. Raises DataError where something stands there (bundle.outputs)."""
    check_output(folder, REPORT, replace=replace)
    files = report_files(report)
    with whole_folder(folder, replace=replace) as partial:
        for name, text in files.items():
            (partial / name).write_text(text, encoding="utf-8")
    return folder / HTML_FILE


def report_files(report: Report) -> dict[str, str]:
    """The texts of a report's files, by name; the page comes last."""
    return {
        EVALUATION_FILE: report.evaluation.model_dump_json(indent=2) + "\n",
        TWIN: report.model_dump_json() + "\n",
        HTML_FILE: report_html(report),
    }


def report_html(report: Report) -> str:
    """The page: one self-contained HTML document, no script, nothing fetched, nothing but what ``report`` holds."""
    evaluation = report.evaluation
    return (
        html_environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            evaluation=evaluation,
            chart=charts.chart(evaluation.languages, evaluation.pooled),
            dev_slices={part.name: part for part in evaluation.dev_comparison.languages}
            if evaluation.dev_comparison
            else {},
            slices={part.name: part for part in evaluation.languages},
            reliability={part.name: part for part in evaluation.reliability.languages},
            charts=charts,
            few_positives=FEW_POSITIVES,
            pii_warning=PII_WARNING,
        )
    )


@cache
def html_environment(*packages: str) -> Environment:
    """The templates of these packages, and after them those of the report with its style: escaped, hidden characters
    made visible, numbers formatted alike; ``meaning`` gives what the help pages say of a word."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "polyvigil.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["meaning"] = meaning
    environment.filters.update(
        count=_count,
        rate=_rate,
        signed=_signed,
        share=_share,
        number=_number,
        threshold=_threshold,
        duration=_duration,
        language_name=_language_name,
        across=charts.across,
        down=charts.down,
        labelled=_labelled,
    )
    return environment


_ROW, _CELL, _TAG = re.compile(r"<tr\b.*?</tr>", re.DOTALL), re.compile(r"<t[dh]\b"), re.compile(r"<[^>]*>")


def _labelled(rows: Markup) -> Markup:
    """The rows of a table, each cell with the heading of its column as ``data-label``: what a narrow screen, on which
    each row is a list of its own, shows before it."""
    head, end, body = str(rows).partition("</thead>")
    heads = re.findall(r"<th\b[^>]*>(.*?)</th>", head, re.DOTALL)
    labels = [" ".join(_TAG.sub(" ", text).split()) for text in heads]

    def row(match: re.Match[str]) -> str:
        left = iter(labels)
        return _CELL.sub(lambda cell: f'{cell[0]} data-label="{next(left, "")}"', match[0])

    return Markup(head + end + _ROW.sub(row, body))


def _count(number: int) -> str:
    return f"{number:,}"


def _rate(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    """``+0.031``; a true minus sign, which a screen reader says."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _share(value: float) -> str:
    """``12%``; one place below 10%, where it tells."""
    return f"{value:.0%}" if value >= 0.0995 or value == 0 else f"{value:.1%}"


def _number(value: float | None) -> str:
    """One place; a dash where there is none."""
    return "–" if value is None else f"{value:,.1f}"


def _threshold(value: float) -> str:
    """Three places, or two digits where those would read 0."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _language_name(code: str) -> str:
    """``German, CADEC`` of ``de_cadec``; empty for a code without a name here."""
    name = _NAMES.get(base_language(code), "")
    return f"{name}, CADEC" if name and is_cadec(code) else name
