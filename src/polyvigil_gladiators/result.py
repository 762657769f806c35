"""What a reproduction returns: each metric of the paper beside its own, and whether the two agree."""

from __future__ import annotations

from typing import Literal

from polyvigil.evaluation.intervals import Interval
from polyvigil.types import Frozen
from polyvigil_gladiators.plan import Table
from polyvigil_gladiators.survey import State

Verdict = Literal[
    "reproduced", "differs", "not judged", "ours alone", "other data", "meaningless", "cannot run", "failed"
]

StepKind = Literal["translation", "training", "scores", "audit"]

VERDICTS: dict[Verdict, str] = {
    "reproduced": "the paper's value lies in the 95% interval of ours on the same posts, as printed",
    "differs": "it does not",
    "not judged": "ours has no interval",
    "ours alone": "the paper has no such value",
    "other data": "ours is on other posts than the paper's, so the two are not to be compared",
    "meaningless": "models with random weights and synthetic posts: it shows that the path runs, and nothing else",
    "cannot run": "something is missing here, and the reason says what",
    "failed": "a step ended with an error",
}


class Measured(Frozen):
    """A metric measured here. ``value`` is the paper's way: on the dev posts, at thresholds tuned on these very posts
    (same-set); on the test posts, at those of the dev posts. ``interval`` (95%) is of ``value``; cross-fitted: each dev
    post decided by thresholds tuned on others."""

    value: float
    interval: Interval | None = None
    cross_fitted: float | None = None
    cross_fitted_interval: Interval | None = None
    flagged: int | None = None
    """Of the dev posts, CADEC left out, at the thresholds tuned on them."""


class Metric(Frozen):
    """A metric of the paper and ours."""

    table: Table
    row: str
    what: str
    """What is measured: ``F1``, ``threshold`` and so on."""
    paper: float | None
    decimals: int
    """Places that the paper prints; -2: it prints hundreds."""
    competition_mean: float | None = None
    """With ``competition_median`` of the test F1 of all systems in the shared task, as the paper prints them."""
    competition_median: float | None = None
    paper_flagged: int | None = None
    ours: Measured | None = None
    verdict: Verdict
    reason: str = ""
    notes: tuple[str, ...] = ()


class StepRecord(Frozen):
    """A step of the plan. ``users``: the rows of Table 2 and the other tables that take it."""

    name: str
    what: StepKind
    state: State
    reason: str
    seconds: float
    output: str
    users: tuple[str, ...]


class Reproduction(Frozen):
    """All of it."""

    scale: Literal["full", "tiny"]
    meaningless: bool
    data: str
    differences: tuple[str, ...]
    """How the posts differ from the paper's in number."""
    obstacles: dict[str, str]
    """Why rows cannot run, by their names."""
    figures: tuple[Metric, ...]
    steps: tuple[StepRecord, ...]

    @property
    def failed(self) -> bool:
        return any(step.state == "failed" for step in self.steps) or any(f.verdict == "failed" for f in self.figures)


def verdict(
    paper: float | None, interval: Interval | None, *, decimals: int, meaningless: bool, other_data: bool
) -> Verdict:
    """By the interval of our metric that was found the paper's way: does the paper's, as printed, lie in it?

    ``decimals``: places printed, -2 where the paper prints hundreds; half a unit of the last one is allowed for.
    ``meaningless`` and ``other_data`` come first: such metrics are not compared. ``paper``: None where it has none.
    """
    if meaningless:
        return "meaningless"
    if paper is None:
        return "ours alone"
    if other_data:
        return "other data"
    if interval is None:
        return "not judged"
    rounding = 0.5 * 10.0**-decimals + 1e-12
    return "reproduced" if interval.low - rounding <= paper <= interval.high + rounding else "differs"
