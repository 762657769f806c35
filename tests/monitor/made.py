"""Weeks of scored posts, made without a bundle: as counts, as a monitor on disk, as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from polyvigil.monitor.counts import LENGTH_EDGES, SCORE_EDGES, CellCounts, CountedFile
from polyvigil.monitor.store import Monitor, add_files, read_monitor

BUNDLE = "0123456789abcdef"
STREAMS = {("en", "forum"): 3000, ("en", "tweet"): 800, ("de", "forum"): 400}
Change = Callable[[int, str, str], Mapping[str, Any]]


def week_name(number: int) -> str:
    """The ``number``-th week of 2026, from 1."""
    return f"2026-W{number:02d}"


def cell(
    week: str,
    language: str,
    source: str,
    posts: int,
    random: np.random.Generator,
    *,
    prevalence: float = 0.05,
    length: float = 4.5,
    scripts: Mapping[str, int] | None = None,
    unread: int = 0,
    duplicates: int = 0,
) -> CellCounts:
    """The counts of sampled posts: scores normal on the logit scale, log lengths normal."""
    positive = random.random(posts) < expit(logit(prevalence) + 0.1 * random.normal())
    p = expit(np.where(positive, random.normal(0.5, 1.3, posts), random.normal(-4, 1.4, posts)))
    lengths = np.exp(random.normal(length + 0.03 * random.normal(), 0.8, posts))
    flagged = p >= 0.3
    return CellCounts(
        week=week,
        language=language,
        source=source,
        rows=posts + unread,
        posts=posts,
        flagged=int(flagged.sum()),
        abstained=0,
        untrained=0,
        duplicates=duplicates,
        p_sum=float(p.sum()),
        p_squares=float((p * p).sum()),
        p_flagged=float(p[flagged].sum()),
        scores=tuple(np.bincount(np.searchsorted(SCORE_EDGES, p, side="right"), minlength=12).tolist()),
        lengths=tuple(np.bincount(np.searchsorted(LENGTH_EDGES, lengths, side="right"), minlength=10).tolist()),
        scripts=dict(scripts or {"Latin": posts}),
    )


def weekly_cells(
    weeks: int, *, streams: Mapping[tuple[str, str], int] = STREAMS, seed: int = 0, change: Change = lambda *_: {}
) -> list[CellCounts]:
    """Cells of weeks from the first on; ``change``: of week, language and source what is unlike ``cell``'s defaults."""
    random = np.random.default_rng(seed)
    cells = []
    for number in range(1, weeks + 1):
        for (language, source), posts in streams.items():
            options = dict(change(number, language, source))
            size = int(options.pop("posts", posts) * np.exp(0.1 * random.normal()))
            cells.append(cell(week_name(number), language, source, size, random, **options))
    return cells


def counted(cells: Sequence[CellCounts], *, bundle: str = BUNDLE, path: str = "scored.csv") -> CountedFile:
    digest = f"{abs(hash((bundle, path, *((one.week, one.language, one.source, one.posts) for one in cells)))):064x}"
    return CountedFile(path, digest[-64:], bundle, tuple(cells), ())


def made_monitor(path: Path, weeks: int, *, bundle: str = BUNDLE, **options: Any) -> Monitor:
    """A monitor on disk, one file a week."""
    cells = weekly_cells(weeks, **options)
    files = []
    for week in sorted({one.week for one in cells}):
        of_week = [one for one in cells if one.week == week]
        number = int(week[-2:])
        name = f"{bundle}-{week}.csv"
        files.append(CountedFile(name, f"{int(bundle, 16) * 100 + number:064x}", bundle, tuple(of_week), ()))
    add_files(path, files)
    return read_monitor(path)
