"""What several audits show: their gates, and flag rates of two bundles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from polyvigil.checks.audit.drift import DriftRow
from polyvigil.checks.audit.gate import Gate
from polyvigil.cli.views.table import table


def gate_lines(gates: Sequence[Gate], *, digits: int = 2) -> list[str]:
    """Every gate in a row, then a sentence and a next step for each finding. ``digits``: after the point."""
    rows = [
        (
            gate.name,
            "ok" if gate.passed else "NO",
            gate.worst_at or "-",
            f"{gate.places:,}",
            "-" if gate.worst is None else f"{gate.worst:.{digits}f}",
            f"{gate.limit:.{digits}f}",
        )
        for gate in gates
    ]
    findings = list(chain.from_iterable(gate.findings for gate in gates))
    lines = [table(("gate", "", "worst at", "places", "worst", "limit"), rows, left=3)]
    for finding in findings:
        lines += ["", f"{finding.code}: {finding.message}", f"  {finding.hint}"]
    refusing = sum(not gate.passed for gate in gates)
    return [*lines, "", f"{refusing} of {len(gates)} gates say no" if refusing else "every gate is passed"]


def drift_lines(rows: Sequence[DriftRow]) -> list[str]:
    """Flag rates and thresholds before and now, one row for each language."""
    cells = [
        (
            row.language,
            f"{row.posts:,}",
            f"{row.old_share:.1%}",
            f"{row.new_share:.1%}",
            f"{row.ratio.value:.2f}",
            f"{row.ratio.low:.2f}-{row.ratio.high:.2f}",
            f"{row.old_threshold:.2f}",
            f"{row.new_threshold:.2f}",
            f"{row.old_mean:.3f}",
            f"{row.new_mean:.3f}",
            f"{row.overlap:.2f}",
        )
        for row in rows
    ]
    rates = ("flagged before", "now", "ratio", "95%", "threshold", "now")
    return [table(("language", "posts", *rates, "mean P", "now", "overlap"), cells)]
