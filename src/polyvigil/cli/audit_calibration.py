"""``polyvigil audit calibration``."""

from __future__ import annotations

from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import GATE, Columns, Device, OnErrorChoice, OnErrorOption, Settings, data_spec
from polyvigil.cli.output import Answer, Output


@command(
    group="audit",
    examples=(
        "polyvigil audit calibration OLD NEW posts.csv",
        "polyvigil audit calibration OLD NEW posts.jsonl --column text=body --json",
    ),
)
def calibration(
    out: Output,
    old: Annotated[str, typer.Argument(help="The bundle in use.")],
    new: Annotated[str, typer.Argument(help="The bundle that is to follow it.")],
    file: Annotated[str, typer.Argument(help="Posts to score with both; labels are not looked at.")],
    columns: Columns = None,
    settings: Settings = None,
    on_error: OnErrorChoice = OnErrorOption.quarantine,
    device: Device = "auto",
) -> Answer:
    """Would a new bundle flag as many posts of each language as the old one? Exit 3 if far more or fewer."""
    from polyvigil.bundle.store import load
    from polyvigil.checks.audit.drift import audit_drift
    from polyvigil.cli.audit_tables import drift_lines, gate_lines
    from polyvigil.data.read import read_unlabelled

    posts = read_unlabelled(file, data_spec(columns, settings), on_error=on_error.value)
    bundles = [load(folder, device=device) for folder in (old, new)]
    out.notes(posts.notes)
    out.log(f"scoring {len(posts.posts):,} posts with both bundles")
    audit = audit_drift(bundles[0], bundles[1], posts.posts)
    lines = [*drift_lines(audit.languages), "PSI decides nothing: it raises false alarms and misses true ones", ""]
    passed = all(gate.passed for gate in audit.gates)
    return Answer(audit, [*lines, *gate_lines(audit.gates)], 0 if passed else GATE)
