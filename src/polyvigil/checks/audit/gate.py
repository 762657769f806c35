"""Gates of audits: a measured value, its limit, and the finding where the value is surely beyond it.

In: measured values with intervals. Out: `Gate` and its findings. The limits stand here, each with the reason for its
value (benchmarks/shortcuts.py measures what they catch and what they let through); a gate refuses only where the
interval lies beyond the limit, so that few posts never refuse by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.checks.check_result import Finding, Where
from polyvigil.evaluation.intervals import LEVEL
from polyvigil.types import Frozen

PROBE_SHARE = 0.8
"""Of texts that say nothing. A multilingual encoder that learned from a script of positives alone flags 99% and more,
in most scripts, since all such texts are alike to it; a clean one up to 62% in its worst script. Linear models flag 35
to 94% and 22% at most; what they learned the lift shows better."""
PROBE_LIFT = 1.2
"""Logits that a script without a threshold of its own adds to texts that say nothing, 3.3 times the odds. Clean linear
models: 0.9 at most; junk in a script learned from 272 positives of 5,442 posts: 2.0 to 2.2."""
PROBE_DEVIATIONS = 8.0
"""That lift over the median absolute deviation of the other scripts. To a linear model all scripts that it has not
learned are the same, so the deviation is near 0 and the limit above decides; in clean encoders the farthest script lies
up to 4 deviations away."""
RATE_FACTOR = 3.0
"""A cell's flag rate over its prevalence. A cut of best F1 flags about as many posts as are positive; three times
that can hardly reach a precision above a third."""
FALSE_RATE = 0.25
"""Of a cell's negatives. With 10% positives a detector that flags a quarter of the negatives is under 31% precise."""
ETA_SQUARED = 0.5
"""Eta squared: beyond it, the language or type of a negative says more about its score than all that it says itself.
Clean linear models: 0.06 to 0.16."""
LENGTH = 0.5
"""Rank correlation of length and score among the negatives of a language: a quarter of the spread of the ranks."""
FLAG_FACTOR = 4 / 3
"""How far a language's flag rate may move between two bundles on the same posts: a third more flags are a third more
posts to read. With its threshold moved from .70 to .27, 1.4 to 2.2 times the Japanese posts of the sample corpus are
flagged. Of 360 harmless retrains simulated at the shared task's sizes, logits moved at random by 0.5, one went
beyond."""
LOST = 0.02
"""Of all positives, those that a cut loses: two points of recall, about what a better model gains."""
LEAST_LOST = 3
"""Posts; fewer are accidents."""
INT8_SHIFT = 0.15
"""Largest move of one post's P in an export to int8: about twice what a sound one does. English MiniLM, three seeds,
on 774 and 958 posts: .049 to .066 (docs/measured.md)."""
BF16_SHIFT = 0.02
"""The same in an export to bfloat16. English MiniLM, three seeds, on 774 and 958 posts: .004 to .009."""
ONNX_SHIFT = 1e-4
"""The same in an export to ONNX, where only the order of sums differs: a hundred times what the tests see."""
FLIPPED = 0.02
"""Of a language's posts, those that an export surely decides otherwise. English MiniLM in int8: 0.3 to 0.5%."""
F1_LOST = 0.002
"""F1 that an export may cost, where the posts can tell so little: a fifth of what one seed costs against another
(.010 on the test posts of docs/measured.md)."""
LEAST_POSTS = 30
"""Of a cell, to be judged at all: under it every interval is too wide for these limits."""


_SAMPLES = 4000


class Ratio(Frozen):
    """``value`` = flagged by the second / flagged by the first, half a post counted more in each; its 95% interval."""

    value: float
    low: float
    high: float

    def beyond(self, factor: float) -> bool:
        """Whether it is ``factor`` (> 1) or more, or the same downwards, and the interval leaves out 1."""
        far = self.value >= factor or self.value <= 1 / factor
        return far and not self.low <= 1 <= self.high


def flag_ratio(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Ratio:
    """Of flags (n_posts,) in the same order.

    The four cells of the two decisions are sampled from their Dirichlet posterior under Jeffreys' prior (as in
    evaluation.intervals), so that posts which both flag narrow the interval, and so has none flagged. Deterministic.
    """
    both, old, new = (int(np.count_nonzero(cell)) for cell in (first & second, first & ~second, second & ~first))
    neither = len(first) - both - old - new
    value = (both + new + 0.5) / (both + old + 0.5)
    random = np.random.default_rng(0)
    sampled = random.dirichlet(np.array([both, old, new, neither]) + 0.5, _SAMPLES)
    ratios = (sampled[:, 0] + sampled[:, 2]) / (sampled[:, 0] + sampled[:, 1])
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(value=value, low=min(float(low), value), high=max(float(high), value))


class Gate(Frozen):
    """``places`` were measured; ``worst`` is the metric nearest to the limit or farthest beyond, None without any."""

    name: str
    passed: bool
    limit: float
    places: int
    worst: float | None
    worst_at: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of one place (a language, a script), higher being worse; ``beyond``: the gate says no here.

    Where the metric has an interval, ``beyond`` asks that its near end is beyond the limit, so a high metric of few
    posts may pass. ``message`` says what, where and how much; ``advice`` what to do.
    """

    group: str
    value: float
    beyond: bool
    message: str
    advice: str
    language: str = ""


def gate_of(name: str, limit: float, measured: Sequence[Measured]) -> Gate:
    """The gate of these places; it passes without any."""
    worst = max(measured, key=lambda item: (item.beyond, item.value), default=None)
    findings = tuple(
        Finding(
            severity="error", code=name, message=item.message, hint=item.advice, where=Where(language=item.language)
        )
        for item in measured
        if item.beyond
    )
    return Gate(
        name=name,
        passed=not findings,
        limit=limit,
        places=len(measured),
        worst=None if worst is None else worst.value,
        worst_at="" if worst is None else worst.group,
        findings=findings,
    )
