"""``polyvigil review metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Replace
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store
from polyvigil.cli.views.table import table
from polyvigil.errors import require

if TYPE_CHECKING:
    from polyvigil.evaluation.agreement import Agreement
    from polyvigil.evaluation.audit_estimate import Estimate
    from polyvigil.review.measuring import LanguageMetrics, ReviewMetrics


@command(
    group="review",
    examples=(
        "polyvigil review metrics review.db",
        "polyvigil review metrics review.db -o metrics.html --looks 4",
    ),
)
def metrics(
    out: Output,
    store: StoreLocation,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write them too: as a page (.html), else as JSON.")
    ] = None,
    looks: Annotated[
        int, typer.Option("--looks", min=1, help="How often you look while the audit grows: intervals widen by it.")
    ] = 1,
    replace: Replace = False,
) -> Answer:
    """Say what was found and what was probably missed: precision counted, recall estimated from the audit."""
    from polyvigil.bundle.outputs import check_output, json_document
    from polyvigil.data.atomic import write_whole

    is_page = output is not None and output.suffix.lower() in (".html", ".htm")
    require("sqlalchemy", extra="review", needed_by="polyvigil review metrics")
    if output is not None:
        from polyvigil.review.metrics_page import METRICS_HTML, metrics_html

        kind = json_document("file of metrics of a review store", ("head_seq", "languages", "reading"))
        check_output(output, METRICS_HTML if is_page else kind, replace=replace, inputs=[store])
    with opened_store(store) as opened:
        from polyvigil.review.measuring import measure

        result = measure(opened, looks=looks)
    if output is not None:
        page = metrics_html(result, looks=looks, command=out.command_line) if is_page else ""
        write_whole(output, page or result.model_dump_json(indent=2) + "\n", replace=replace)
    return Answer(result, list(_lines(result)))


def _lines(result: ReviewMetrics) -> Iterator[str]:
    rows = [_row(one) for one in result.languages]
    yield table(("language", "flagged", "read", "ADEs", "precision", "recall", "missed"), rows)
    for one in result.languages:
        yield from (f"{one.name}: {remark}" for remark in one.remarks)
    yield _agreement_line(result.agreement)
    reading = result.reading
    pace = "" if reading.median_seconds is None else f", {reading.median_seconds:.1f} s each (median)"
    quick = "" if not reading.quick_share else f", {reading.quick_share:.0%} in under 2 s"
    yield f"{reading.decisions:,} decisions of {reading.reviewers:,} people{pace}{quick}"
    yield f"head {result.head} (event {result.head_seq})"


def _row(one: LanguageMetrics) -> tuple[str, ...]:
    interval = one.precision_interval
    precision = "-" if one.precision is None else f"{one.precision:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
    estimate = one.estimate
    recall = _shown(estimate.recall if estimate else None, "{:.2f}")
    missed = _shown(estimate.missed if estimate else None, "{:,.0f}")
    return (one.name, f"{one.flagged:,}", f"{one.read:,}", f"{one.positives:,}", precision, recall, missed)


def _shown(one: Estimate | None, form: str) -> str:
    if one is None:
        return "-"
    value = "" if one.value is None else form.format(one.value) + " "
    return f"{value}[{form.format(one.low)}, {form.format(one.high)}]"


def _agreement_line(one: Agreement | None) -> str:
    if one is None:
        return "agreement: no post was read blind by two people yet"
    ac1 = "" if one.ac1 is None else f", AC1 {one.ac1.value:.2f} [{one.ac1.low:.2f}, {one.ac1.high:.2f}]"
    kappa = "" if one.kappa is None else f", kappa {one.kappa.value:.2f} [{one.kappa.low:.2f}, {one.kappa.high:.2f}]"
    positive = "" if one.positive_agreement is None else f", positive agreement {one.positive_agreement:.2f}"
    return f"agreement on {one.posts:,} posts: {one.agreement:.0%}{positive}{ac1}{kappa}"
