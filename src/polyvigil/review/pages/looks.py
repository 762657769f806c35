"""The store's metrics as the Metrics page shows them: one look a day, and intervals that are wide enough for all looks.

Who looks at an interval until it pleases will be pleased by chance. So the page computes at the first visit of a day
(UTC) and shows that until the day is over; intervals are widened by the number of days on which anything was decided.
"""

from __future__ import annotations

import threading
from typing import Any

from polyvigil.review.measuring import ReviewMetrics, measure
from polyvigil.review.pages import queries
from polyvigil.review.schema import utc_text
from polyvigil.review.store import Store


class DailyLook:
    """The metrics of one store, of today."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._day = ""
        self._result: ReviewMetrics | None = None
        self._looks = 1

    def get(self) -> tuple[ReviewMetrics, int]:
        """The metrics, and the number of looks that their intervals are wide enough for."""
        day = utc_text(self._store.clock())[:10]
        with self._lock:
            if self._result is None or day != self._day:
                with self._store.read() as connection:
                    self._looks = max(queries.days_of_decisions(connection), 1)
                self._result, self._day = measure(self._store, looks=self._looks), day
            return self._result, self._looks


def metrics_rows(result: ReviewMetrics) -> list[dict[str, Any]]:
    """Each language, then all together, as a row of the page's table."""
    rows = []
    for one in result.languages:
        estimate = one.estimate
        rows.append(
            {
                "name": one.name,
                "flagged": one.flagged,
                "read": one.read,
                "positives": one.positives,
                "precision": None if one.precision is None else f"{one.precision:.2f}",
                "precision_interval": _interval(one.precision_interval, "{:.2f}") if one.read else "",
                "recall": _value(estimate.recall if estimate else None, "{:.2f}"),
                "f1": _value(estimate.f1 if estimate else None, "{:.2f}"),
                "missed": _value(estimate.missed if estimate else None, "{:,.0f}"),
                "remarks": one.remarks,
            }
        )
    return rows


def _interval(one: Any, form: str) -> str:
    return f"{form.format(one.low)} to {form.format(one.high)}"


def _value(one: Any, form: str) -> tuple[str, str] | None:
    """A value (empty where an interval alone is given) and its interval; None where nothing can be said."""
    if one is None:
        return None
    return "" if one.value is None else form.format(one.value), _interval(one, form)
