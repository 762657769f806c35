"""What a reproduction found, as data: ``reproduction.json``."""

from __future__ import annotations

from typing import Literal

from polyvigil.assess.intervals import Interval
from polyvigil.assess.told import Told
from polyvigil.reproduce.plan import Table
from polyvigil.reproduce.survey import State

Verdict = Literal["reproduced", "differs", "not judged", "other data", "meaningless", "cannot run", "failed"]

VERDICTS: dict[Verdict, str] = {
    "reproduced": "the paper's figure lies in the 95% interval of ours on the same posts, as printed",
    "differs": "it does not",
    "not judged": "ours has no interval",
    "other data": "ours is on other posts than the paper's, so the two are not to be compared",
    "meaningless": "models with random weights and synthetic posts: it shows that the path runs, and nothing else",
    "cannot run": "something is missing here, and the reason says what",
    "failed": "a step ended with an error",
}


class Measured(Told):
    """A figure found here. ``interval`` (95%) is of ``same_set``, the paper's way; cross-fitted: each post decided by
    thresholds tuned on others."""

    same_set: float
    interval: Interval | None = None
    cross_fitted: float | None = None
    cross_fitted_interval: Interval | None = None
    flagged: int | None = None
    """Of the dev posts, CADEC left out, at the thresholds tuned on them."""


class Figure(Told):
    """A figure of the paper and ours."""

    table: Table
    row: str
    what: str
    """What is measured: ``F1``, ``threshold`` and so on."""
    paper: float
    decimals: int
    """Places that the paper prints."""
    paper_flagged: int | None = None
    ours: Measured | None = None
    verdict: Verdict
    reason: str = ""
    notes: tuple[str, ...] = ()


class StepTold(Told):
    """A step of the plan. ``users``: the rows of Table 2 and the other tables that take it."""

    name: str
    what: Literal["translation", "training"]
    state: State
    reason: str
    seconds: float
    output: str
    users: tuple[str, ...]


class Reproduction(Told):
    """All of it."""

    scale: Literal["full", "tiny"]
    meaningless: bool
    data: str
    differences: tuple[str, ...]
    """How the posts differ from the paper's in number."""
    figures: tuple[Figure, ...]
    steps: tuple[StepTold, ...]

    @property
    def failed(self) -> bool:
        return any(step.state == "failed" for step in self.steps) or any(f.verdict == "failed" for f in self.figures)
