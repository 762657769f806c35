"""What a bundle flags in each language and script of labelled posts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.checks.audit.gate import FALSE_RATE, LEAST_POSTS, RATE_FACTOR, Gate, Measured, gate_of
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.types import Frozen, Labels


class FlagCell(Frozen):
    """Posts of one language in one script. Shares in [0, 1], intervals 95%; ``prior``: the share of positives among
    the bundle's dev posts of this language, or among all of them where it has none there."""

    language: str
    script: str
    posts: int
    positives: int
    flagged: int
    share: float
    share_interval: Interval
    prior: float
    false_flags: int
    false_rate: float
    false_interval: Interval

    @property
    def negatives(self) -> int:
        return self.posts - self.positives

    @property
    def group(self) -> str:
        return f"{self.language} in {self.script} script"


def flag_cells(
    labels: Labels,
    flags: NDArray[np.bool_],
    languages: Sequence[str],
    scripts: Sequence[str],
    *,
    dev_labels: Labels,
    dev_languages: NDArray[np.str_],
) -> tuple[FlagCell, ...]:
    """All arguments but the dev ones run over the same (n_posts,) posts; cells by language, then script."""
    keys = np.array([f"{language}\t{script}" for language, script in zip(languages, scripts, strict=True)])
    everywhere = float((dev_labels == 1).mean()) if len(dev_labels) else 0.0
    cells = []
    for key in np.unique(keys).tolist():
        mask = keys == key
        language, _, script = key.partition("\t")
        dev_of_language = dev_labels[dev_languages == language]
        posts, positives = int(mask.sum()), int((labels[mask] == 1).sum())
        flagged, false = int(flags[mask].sum()), int((flags[mask] & (labels[mask] == 0)).sum())
        cells.append(
            FlagCell(
                language=language,
                script=script,
                posts=posts,
                positives=positives,
                flagged=flagged,
                share=flagged / posts,
                share_interval=share_interval(flagged, posts),
                prior=float((dev_of_language == 1).mean()) if len(dev_of_language) else everywhere,
                false_flags=false,
                false_rate=false / (posts - positives) if posts > positives else 0.0,
                false_interval=share_interval(false, posts - positives),
            )
        )
    return tuple(cells)


def rate_gate(cells: Sequence[FlagCell]) -> Gate:
    """Flag rates far above the prevalence, be it that of the dev posts or of these posts themselves."""
    measured = []
    for cell in cells:
        if cell.posts < LEAST_POSTS:
            continue
        likely = max(cell.prior, share_interval(cell.positives, cell.posts).high)
        measured.append(
            Measured(
                group=cell.group,
                value=cell.share / likely,
                beyond=cell.share_interval.low > RATE_FACTOR * likely,
                message=f"{cell.group}: {cell.share:.1%} of {cell.posts:,} posts are flagged, where {cell.prior:.1%} of"
                f" the dev posts and {cell.positives / cell.posts:.1%} of these are positive (limit"
                f" {RATE_FACTOR:g} times)",
                advice="look at what was trained on in this language and script, and tune its threshold on labelled"
                " posts",
                language=cell.language,
            )
        )
    return gate_of("flag-rate", RATE_FACTOR, measured)


def negatives_gate(cells: Sequence[FlagCell]) -> Gate:
    """Cells where too many of the negatives are flagged."""
    measured = [
        Measured(
            group=cell.group,
            value=cell.false_rate,
            beyond=cell.false_interval.low > FALSE_RATE,
            message=f"{cell.group}: {cell.false_rate:.1%} of {cell.negatives:,} negatives are flagged (95%"
            f" {cell.false_interval.low:.1%} to {cell.false_interval.high:.1%}; limit {FALSE_RATE:.0%})",
            advice="add negatives of this language and source to the training, or raise its threshold",
            language=cell.language,
        )
        for cell in cells
        if cell.negatives >= LEAST_POSTS
    ]
    return gate_of("negatives", FALSE_RATE, measured)
