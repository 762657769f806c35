"""Dates as files have them, to ISO weeks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.monitor.weeks import parse_week, week_of, week_of_cell


@given(st.dates(date(1970, 1, 8), date(2100, 1, 1)))
def test_every_way_to_write_a_day_gives_its_week(day: date) -> None:
    year, number, _ = day.isocalendar()
    week = f"{year:04d}-W{number:02d}"
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    ways = [day, noon, day.isoformat(), noon.isoformat(), noon.strftime("%Y-%m-%d %H:%M:%S")]
    ways += [noon.strftime("%a %b %d %H:%M:%S +0000 %Y"), week]
    if noon.timestamp() >= 1e9 and noon.timestamp() < 1e10:
        ways += [noon.timestamp(), int(noon.timestamp()), f"{noon.timestamp():.0f}", f"{noon.timestamp() * 1000:.0f}"]
    assert {week_of_cell(way) for way in ways} == {week_of(day)} == {week}


def test_a_time_with_a_zone_is_taken_to_utc() -> None:
    sunday = "2026-03-22T23:30:00-02:00"
    assert week_of_cell(sunday) == week_of_cell("2026-03-23T01:30:00Z") == "2026-W13"
    zone = timezone(timedelta(hours=9))
    assert week_of_cell(datetime(2026, 3, 23, 8, tzinfo=zone)) == "2026-W12"


@pytest.mark.parametrize(
    "cell",
    ["", "03/04/2026", "18.03.2026", "2026-02-30", "2026-W54", "yesterday", "nan", "12345678", True, float("inf")],
)
def test_what_is_no_date_is_refused(cell: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        week_of_cell(cell)


@pytest.mark.parametrize(
    "text", ["2026-12", "2026W12", "2026-W00", "2026-W54", "2026-w12", " 2026-W12", "２０２６-W12x"]
)
def test_a_week_is_written_in_one_way(text: str) -> None:
    with pytest.raises(ValueError):
        parse_week(text)


def test_weeks_sort_by_time() -> None:
    days = [date(2020, 12, 20) + timedelta(days=7 * number) for number in range(60)]
    assert [week_of(day) for day in days] == sorted(map(week_of, days))
    assert parse_week("2020-W53") == "2020-W53"
