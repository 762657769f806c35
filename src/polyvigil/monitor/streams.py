"""Streams of a monitor: the counts of one bundle by language and source, alone and together, week by week."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyvigil.monitor.charts import WeeklyCounts
from polyvigil.monitor.counts import ALL, CellCounts
from polyvigil.monitor.statistics import Floats
from polyvigil.types import Frozen


class WeekRow(Frozen):
    """A week of a stream. Shares are in [0, 1]; None where there are no posts to take them of."""

    week: str
    posts: int
    flagged: int
    flag_rate: float | None
    expected_share: float | None
    """The mean calibrated P: the share of ADEs as the scores alone have it. Label-free, no estimate of the truth."""
    expected_precision: float | None
    """The mean calibrated P of flagged posts; label-free too, as the next one."""
    expected_recall: float | None
    unread_share: float | None
    """Rows with nothing to read, and posts that the bundle did not judge."""
    duplicate_share: float | None
    untrained: int
    """Posts of a language that the bundle was not trained on."""
    scripts: dict[str, int]
    scores: tuple[int, ...]
    lengths: tuple[int, ...]


class Stream(Frozen):
    """A language of a source, or (named ``all``) of all sources, or everything, week by week."""

    language: str
    source: str
    weeks: tuple[WeekRow, ...]
    reference: WeekRow | None
    """All weeks of the reference together."""


@dataclass(frozen=True, slots=True)
class BundleCells:
    """The counts of one bundle: of each stream and week the cells."""

    weeks: tuple[str, ...]
    cells: tuple[CellCounts, ...]

    def by_week(self, language: str, source: str) -> dict[str, list[CellCounts]]:
        """The cells of a stream by week."""
        chosen: dict[str, list[CellCounts]] = {week: [] for week in self.weeks}
        for cell in self.cells:
            if language in (cell.language, ALL) and source in (cell.source, ALL):
                chosen[cell.week].append(cell)
        return chosen

    def names(self) -> tuple[list[str], list[str]]:
        """Languages and sources."""
        return sorted({cell.language for cell in self.cells}), sorted({cell.source for cell in self.cells})


def stream_names(cells: BundleCells) -> list[tuple[str, str]]:
    """Streams, then languages of all sources and everything, where those are more than one stream."""
    single = sorted({(cell.language, cell.source) for cell in cells.cells})
    per_language = Counter(language for language, _ in single)
    joint = [(language, ALL) for language, number in sorted(per_language.items()) if number > 1]
    everything = [(ALL, ALL)] if len(single) > 1 and len(per_language) > 1 else []
    return [*single, *joint, *everything]


def make_stream(cells: BundleCells, language: str, source: str, *, reference: Sequence[str]) -> Stream:
    by_week = cells.by_week(language, source)
    together = [cell for week in reference for cell in by_week[week]]
    return Stream(
        language=language,
        source=source,
        weeks=tuple(week_row(week, some) for week, some in by_week.items() if some),
        reference=week_row(f"{reference[0]} to {reference[-1]}", together) if together else None,
    )


def week_row(week: str, cells: Sequence[CellCounts]) -> WeekRow:
    posts, flagged, rows = (sum(getattr(cell, name) for cell in cells) for name in ("posts", "flagged", "rows"))
    unread = rows - posts + sum(cell.abstained for cell in cells)
    p_sum, p_flagged = sum(cell.p_sum for cell in cells), sum(cell.p_flagged for cell in cells)
    scripts: Counter[str] = Counter()
    for cell in cells:
        scripts.update(cell.scripts)
    return WeekRow(
        week=week,
        posts=posts,
        flagged=flagged,
        flag_rate=_share(flagged, posts),
        expected_share=_share(p_sum, posts),
        expected_precision=_share(p_flagged, flagged),
        expected_recall=_share(p_flagged, p_sum),
        unread_share=_share(unread, rows),
        duplicate_share=_share(sum(cell.duplicates for cell in cells), posts),
        untrained=sum(cell.untrained for cell in cells),
        scripts=dict(scripts.most_common()),
        scores=tuple(int(n) for n in np.sum([cell.scores for cell in cells], axis=0)),
        lengths=tuple(int(n) for n in np.sum([cell.lengths for cell in cells], axis=0)),
    )


def _share(part: float, whole: float) -> float | None:
    return min(part / whole, 1.0) if whole > 0 else None


def weekly_counts(weeks: Sequence[Sequence[CellCounts]]) -> WeeklyCounts:
    """The cells of each week as arrays (n_weeks,) and (n_weeks, n_bins)."""
    scripts = sorted({script for some in weeks for cell in some for script in cell.scripts})

    def summed(name: str) -> Floats:
        return np.array([sum(getattr(cell, name) for cell in some) for some in weeks], dtype=np.float64)

    def bins(name: str) -> Floats:
        return np.array([np.sum([getattr(cell, name) for cell in some], axis=0) for some in weeks], dtype=np.float64)

    rows, posts = summed("rows"), summed("posts")
    by_script = [[sum(cell.scripts.get(name, 0) for cell in some) for name in scripts] for some in weeks]
    return WeeklyCounts(
        rows=rows,
        posts=posts,
        flagged=summed("flagged"),
        sums=summed("p_sum"),
        squares=summed("p_squares"),
        unread=rows - posts + summed("abstained"),
        duplicates=summed("duplicates"),
        scores=bins("scores"),
        lengths=bins("lengths"),
        scripts=np.array(by_script, dtype=np.float64),
    )


def stream_name(language: str, source: str) -> str:
    """``de/forum``; of everything ``all``, of a source without a name the language alone."""
    if source == ALL:
        return "all" if language == ALL else f"{language}, all sources"
    return f"{language}/{source}" if source else language
