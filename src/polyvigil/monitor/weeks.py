"""Which ISO week a post is of: dates as files have them, UTC, to names such as ``2026-W12``, which sort by time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache

_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_SECONDS = re.compile(r"\d{10}(\.\d+)?|\d{13}")
_TWITTER = "%a %b %d %H:%M:%S %z %Y"
DATE_COLUMNS = ("created_at", "date", "timestamp", "published_at", "created", "created_utc", "posted_at", "week")
"""Usual names of a column of dates, the first that a file has is taken where none is named."""


def parse_week(text: str) -> str:
    """A week as a user writes it. Raises ValueError for a week that there is not."""
    match = _WEEK.fullmatch(text)
    if match is None:
        raise ValueError("is not a week such as 2026-W12")
    return week_of(date.fromisocalendar(int(match[1]), int(match[2]), 1))


def week_of(day: date) -> str:
    """The ISO week of a day."""
    year, number, _ = day.isocalendar()
    return f"{year:04d}-W{number:02d}"


def week_of_cell(cell: object) -> str:
    """The week of a cell: a date or time by ISO 8601, seconds or milliseconds since 1970, a week, or as Twitter writes.

    Times with a zone are taken to UTC. Raises ValueError for anything else, such as 03/04/2026, of which two days read
    so.
    """
    if isinstance(cell, datetime):
        return week_of(_utc(cell).date())
    if isinstance(cell, date):
        return week_of(cell)
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        cell = f"{cell:.0f}"
    return _week_of_text(str(cell).strip())


@lru_cache(maxsize=4096)
def _week_of_text(text: str) -> str:
    if _WEEK.fullmatch(text):
        return parse_week(text)
    if _SECONDS.fullmatch(text):
        seconds = float(text) / (1000 if len(text) == 13 and "." not in text else 1)
        return week_of(datetime.fromtimestamp(seconds, UTC).date())
    try:
        return week_of(_utc(datetime.fromisoformat(text)).date())
    except ValueError:
        return week_of(_utc(datetime.strptime(text, _TWITTER)).date())


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment
    except OverflowError as error:  # the first and the last day of the calendar
        raise ValueError("is out of the calendar") from error
