"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from polyvigil.assess.evaluate import Evaluation, Slice
from polyvigil.assess.subsets import SeedSubset
from polyvigil.detect.base import TrainingLog


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """An aligned table; the first ``left`` columns are flush left, the others flush right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(header):
        drawn.add_column(Text(name), justify="left" if place < left else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    text = StringIO()
    Console(file=text, width=400, color_system=None).print(drawn)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """An evaluation as a table with language as row, and its cautions."""
    header = ("language", "posts", "positives", "flagged", "precision", "recall", "F1", "F1 95%", "AP", "threshold")
    rows = [_row(part) for part in evaluation.languages]
    rows.append(_row(evaluation.pooled))
    title = f"{evaluation.data}: {evaluation.posts:,} posts, {evaluation.positives:,} positive"
    return [
        title,
        "",
        table(header, rows),
        "",
        f"macro F1 {evaluation.macro_f1:.3f} over the languages; pooled leaves the CADEC groups out, as the task does",
        *(f"caution: {caution}" for caution in evaluation.cautions),
    ]


def seed_lines(subsets: Sequence[SeedSubset]) -> list[str]:
    """What each set of seeds reaches, so that a user sees whether another seed pays; nothing for one seed."""
    if not subsets:
        return []
    rows = [
        (" + ".join(map(str, subset.seeds)), f"{subset.same_set_f1:.3f}", duration(subset.seconds))
        for subset in subsets
    ]
    return [table(("seeds", "dev F1 (same set)", "training"), rows), ""]


def epoch_lines(seed: int, log: TrainingLog) -> list[str]:
    """A training, epoch by epoch: the table of the paper's appendix A, and what each epoch cost."""
    rows = [
        (
            f"{record.epoch}{' *' if record is log.best else ''}",
            f"{record.loss:.4f}",
            f"{record.learning_rate:.1e}",
            f"{record.dev_f1:.4f}",
            duration(record.seconds),
            f"{record.posts_per_second:,.1f}",
            f"{record.peak_memory / 1e9:.1f} GB",
        )
        for record in log.epochs
    ]
    header = ("epoch", "loss", "lr", "dev F1 (same set)", "time", "posts/s", "memory")
    return [f"seed {seed}, {log.device}; * the epoch that is kept", "", table(header, rows), ""]


def duration(seconds: float) -> str:
    """``42 s``, ``3.5 min``, ``2.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _row(part: Slice) -> tuple[str, ...]:
    source = {None: "", "own": "", "pooled": " pooled", "fallback": " fallback"}[part.threshold_source]
    return (
        part.name,
        f"{part.posts:,}",
        f"{part.positives:,}",
        f"{part.flagged:,}",
        f"{part.precision:.3f}",
        f"{part.recall:.3f}",
        f"{part.f1:.3f}",
        f"{part.f1_interval.low:.3f}-{part.f1_interval.high:.3f}",
        f"{part.average_precision:.3f}",
        "" if part.threshold is None else f"{part.threshold:.3f}{source}",
    )
