"""What ``polyvigil audit behaviour`` tells. Its texts are authored ones, no posts."""

from __future__ import annotations

from polyvigil.checks.behaviour_suite import Expect, Kind
from polyvigil.evaluation.intervals import Interval
from polyvigil.types import Frozen

BEHAVIOUR_NOTE: str = (
    "Behaviour tests are authored, synthetic sentences: they show what a bundle gets wrong, not how often that happens "
    "in real posts. Cases of one template are alike, so the intervals are too narrow."
)


class Failure(Frozen):
    """A case that failed: its texts, P(ADE) and decision of each."""

    texts: tuple[str, ...]
    probabilities: tuple[float, ...]
    flagged: tuple[bool, ...]


class Cell(Frozen):
    """One behaviour in one language: ``expect`` is what its cases expect, ``rule`` why.

    ``rate`` = failures / cases, with Jeffreys' 95% interval; ``trained``: whether the bundle was trained on the
    language; ``gated``: whether the gate looks at it; ``fails``: the gate does, and the interval lies above the limit.
    """

    behaviour: str
    capability: str
    kind: Kind
    expect: Expect
    rule: str
    language: str
    trained: bool
    gated: bool
    templates: int
    cases: int
    failures: int
    rate: float
    interval: Interval
    fails: bool
    examples: tuple[Failure, ...]
    """Up to three, of different templates first."""


class BehaviourResult(Frozen):
    """All cells, by behaviour in the order of the suites, then language."""

    bundle: str
    seed: int
    max_failure: float
    tolerance: float
    """How far P may move the wrong way in a direction test."""
    texts: int
    """Distinct texts scored."""
    not_trained: tuple[str, ...]
    """Languages looked at that the bundle was not trained on."""
    cells: tuple[Cell, ...]
    note: str = BEHAVIOUR_NOTE

    @property
    def failing(self) -> tuple[Cell, ...]:
        """The cells that the gate says no to."""
        return tuple(cell for cell in self.cells if cell.fails)
