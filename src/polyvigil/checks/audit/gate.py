"""A gate: one thing measured in several places, a limit, and a finding for each place beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyvigil.checks.check_result import Finding, Where
from polyvigil.types import Frozen


class Gate(Frozen):
    """``places`` were measured; ``worst`` is the figure nearest to the limit or farthest beyond, None without any."""

    name: str
    passed: bool
    limit: float
    places: int
    worst: float | None
    worst_at: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of one place (a language, a script), higher being worse; ``beyond``: the gate says no here.

    Where the figure has an interval, ``beyond`` asks that its near end is beyond the limit, so a high figure of few
    posts may pass. ``told`` says what, where and how much; ``advice`` what to do.
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
