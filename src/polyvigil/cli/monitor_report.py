"""``polyvigil monitor report``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from polyvigil.cli.command import command
from polyvigil.cli.monitor_add import MonitorPath
from polyvigil.cli.options import GATE, Replace
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.views.table import WIDTH, table
from polyvigil.config.monitor import MonitorSpec
from polyvigil.errors import RecipeError

if TYPE_CHECKING:
    from polyvigil.monitor.audited import AuditedMetrics
    from polyvigil.monitor.report import MonitorReport

_DEFAULTS = MonitorSpec()
_KEY = (
    "flagged, unread: shares of posts; expected: the share of ADEs by the scores alone, label-free; before: in the "
    "reference"
)


@command(
    group="monitor",
    examples=(
        "polyvigil monitor report monitor.jsonl -o drift.html",
        "polyvigil monitor report monitor.jsonl --review review.db --start 2026-W20 --json",
    ),
)
def report(
    out: Output,
    store: MonitorPath,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it as one HTML page too.")] = None,
    reference_weeks: Annotated[
        int, typer.Option("--reference-weeks", help="Compare with so many first weeks of the bundle, at least 4.")
    ] = _DEFAULTS.reference_weeks,
    start: Annotated[
        str, typer.Option("--start", help="Leave out earlier weeks, so that the reference begins here: 2026-W20.")
    ] = "",
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Set the limits for so many in 13 weeks, over all charts.")
    ] = _DEFAULTS.false_alarms,
    review: Annotated[str, typer.Option("--review", help="Take audited metrics from this review store.")] = "",
    audited: Annotated[
        list[str] | None,
        typer.Option(
            "--audited",
            help="Take them from what review metrics or estimate wrote as JSON: FILE, 2026-W12=FILE. Repeatable.",
        ),
    ] = None,
    replace: Replace = False,
) -> Answer:
    """Say what changed in scored posts over the weeks: rates, scores, languages, lengths. Exit 3 while an alarm holds.

    The first weeks of a bundle are the reference. Limits allow for weeks that vary and for the number of charts; read
    docs/monitor.md for how often they alarm falsely, and how soon truly.
    """
    from polyvigil.bundle.outputs import check_output
    from polyvigil.monitor.render import MONITOR_HTML, write_html
    from polyvigil.monitor.report import make_report
    from polyvigil.monitor.store import read_monitor

    spec = _spec(reference_weeks=reference_weeks, false_alarms=false_alarms)
    files = [given.partition("=")[2] or given for given in audited or ()]
    if output is not None:
        check_output(output, MONITOR_HTML, replace=replace, inputs=[store, review, *files])
    result = make_report(read_monitor(store), spec, start=_start(start), audited=_audited(review, audited or []))
    if output is not None:
        write_html(result, output, command=out.command_line, replace=replace)
    out.notes(result.notes)
    return Answer(result, list(_lines(result, output)), GATE if result.holding else 0)


def _spec(**values: object) -> MonitorSpec:
    try:
        return MonitorSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise RecipeError(f"{first['input']}: {first['msg'].lower()}", where=option) from error


def _start(week: str) -> str:
    from polyvigil.monitor.weeks import parse_week

    try:
        return parse_week(week) if week else ""
    except ValueError as error:
        raise RecipeError(f"{week!r} is no ISO week", where="--start", hint="as 2026-W20") from error


def _audited(review: str, files: list[str]) -> list[AuditedMetrics]:
    """Audited metrics of a review store as it is now, and of files."""
    from polyvigil.monitor.audited import audited_of, read_audited

    metrics = [one for given in files for one in read_audited(given)]
    if review:
        from polyvigil.cli.review_store import opened_store

        with opened_store(review) as opened:
            from polyvigil.review.measuring import measure

            metrics += audited_of(measure(opened).model_dump(mode="json"), where=review)
    return metrics


def _lines(result: MonitorReport, output: Path | None) -> Iterator[str]:
    """The newest week beside the reference, the alarms, what is not charted, audited metrics."""
    from polyvigil.monitor.streams import stream_name

    reference = result.reference_weeks
    span = f"; reference {reference[0]} to {reference[-1]}" if reference else ""
    yield f"{result.weeks[-1]}, bundle {result.bundle}{span}"
    yield ""
    yield table(
        ("stream", "posts", "flagged", "before", "expected", "before ", "unread", "before  "), list(_rows(result))
    )
    yield ""
    yield from _wrapped(_KEY)
    yield ""
    number = len(result.charts)
    if not number:
        yield "nothing is compared yet"
    for alarm in result.alarms:
        ended = "" if alarm.holds or alarm.first == alarm.last else f" to {alarm.last}"
        yield from _wrapped(f"{'ALARM' if alarm.holds else 'earlier'}: {alarm.message}{ended}")
    if number and not result.holding:
        yield f"no alarm holds in {result.weeks[-1]}, over {number:,} charts"
    for one in result.uncharted:
        yield from _wrapped(f"not charted: {stream_name(one.language, one.source)}: {one.reason}")
    yield from _audited_lines(result)
    if output is not None:
        yield f"page -> {output}"


def _rows(result: MonitorReport) -> Iterator[tuple[str, ...]]:
    from polyvigil.monitor.streams import stream_name

    for one in result.streams:
        newest, before = one.weeks[-1], one.reference
        is_there = newest.week == result.weeks[-1]
        cells = [
            shown
            for name in ("flag_rate", "expected_share", "unread_share")
            for shown in (
                _percent(getattr(newest, name)) if is_there else "-",
                _percent(getattr(before, name)) if before else "-",
            )
        ]
        yield (stream_name(one.language, one.source), f"{newest.posts:,}" if is_there else "0", *cells)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}" if value >= 0.01 or value == 0 else f"{value:.2%}"


def _audited_lines(result: MonitorReport) -> Iterator[str]:
    if not result.audited:
        return
    yield ""
    rows = []
    for one in result.audited:
        span, recall = one.precision_interval, one.recall
        precision = "-" if one.precision is None else f"{one.precision:.2f} [{span.low:.2f}, {span.high:.2f}]"
        value = "" if recall is None or recall.value is None else f"{recall.value:.2f} "
        between = "-" if recall is None else f"{value}[{recall.low:.2f}, {recall.high:.2f}]"
        rows.append((one.language, one.week or "all", f"{one.read:,}", f"{one.positives:,}", precision, between))
    yield table(("audited", "week", "read", "ADEs", "precision", "recall"), rows, left=2)
    for one in result.audited:
        for remark in one.remarks:
            yield from _wrapped(f"{one.language}{' ' + one.week if one.week else ''}: {remark}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=True)
