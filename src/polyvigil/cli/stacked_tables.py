"""What a stacked member's regression found, beside the paper's, for people and as data."""

from __future__ import annotations

from collections.abc import Sequence

from polyvigil.cli.tables import table
from polyvigil.detect.stacked import StackedConfig, StackedDetector
from polyvigil.types import Frozen

PAPER_P, PAPER_FURTHER = 7.01, 0.23
"""Singh 2026, on GLiNER features: the coefficient of P, and what each of the nine others stays below."""


class Stack(Frozen):
    """The regression of one member."""

    member: int
    """Its place in the bundle, from 0."""
    config: StackedConfig


def stacks(members: Sequence[object]) -> list[Stack]:
    """The regressions of those members that have one."""
    return [
        Stack(member=index, config=member.config)
        for index, member in enumerate(members)
        if isinstance(member, StackedDetector)
    ]


def stack_lines(regressions: Sequence[Stack]) -> list[str]:
    """A table for each regression; nothing where there is none."""
    lines = []
    for stack in regressions:
        config = stack.config
        of_p = "P" if config.base_as == "p" else "logit of P"
        rows = [(f"{of_p} ({config.base})", f"{config.coefficients[0]:+.3f}", f"{PAPER_P:+.2f} (of P)")]
        rows += [
            (
                f"{name} ({config.further})",
                f"{coefficient:+.3f}",
                f"below {PAPER_FURTHER}" if config.further == "ner" else "",
            )
            for name, coefficient in zip(config.features, config.coefficients[1:], strict=True)
        ]
        rows.append(("intercept", f"{config.intercept:+.3f}", ""))
        lines += [
            "",
            f"member {stack.member}: logistic regression over",
            "",
            table(("feature", "coefficient", "paper"), rows),
        ]
        lines += ["" if config.base_as == "p" else 'to compare with the paper\'s: model.base_as = "p"']
    return lines
