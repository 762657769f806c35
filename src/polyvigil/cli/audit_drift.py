"""``polyvigil audit drift``, and ``polyvigil audit calibration``, its older name."""

from __future__ import annotations

from typing import Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, GATE, Device, OrOnHub, Posts
from polyvigil.cli.output import Answer, Output

OldBundle = Annotated[str, typer.Argument(help="The bundle in use."), OrOnHub]
NewBundle = Annotated[str, typer.Argument(help="The bundle that is to follow it."), OrOnHub]
PostsFile = Annotated[str, typer.Argument(help="Posts to score with both; labels are not looked at.")]


@command(
    group="audit",
    examples=(
        "polyvigil audit drift OLD NEW posts.csv",
        "polyvigil audit drift OLD NEW posts.jsonl --column text=body --json",
    ),
)
def drift(
    out: Output,
    old: OldBundle,
    new: NewBundle,
    file: PostsFile,
    posts: Posts = DEFAULT_POSTS,
    device: Device = "auto",
) -> Answer:
    """Would a new bundle flag as many posts of each language as the old one? Exit 3 if far more or fewer."""
    from polyvigil.bundle.store import load
    from polyvigil.checks.audit.drift import audit_drift
    from polyvigil.cli.views.audit import drift_lines, gate_lines

    reading = posts.read_unlabelled(file, bundle=new)
    bundles = [load(folder, device=device) for folder in (old, new)]
    out.notes(reading.notes)
    out.log(f"scoring {len(reading.posts):,} posts with both bundles")
    audit = audit_drift(bundles[0], bundles[1], reading.posts)
    lines = [*drift_lines(audit.languages), "PSI decides nothing: it raises false alarms and misses true ones", ""]
    passed = all(gate.passed for gate in audit.gates)
    return Answer(audit, [*lines, *gate_lines(audit.gates)], 0 if passed else GATE)


@command(
    group="audit",
    examples=(
        "polyvigil audit calibration OLD NEW posts.csv",
        "polyvigil audit calibration OLD NEW posts.jsonl --column text=body --json",
    ),
)
def calibration(
    out: Output,
    old: OldBundle,
    new: NewBundle,
    file: PostsFile,
    posts: Posts = DEFAULT_POSTS,
    device: Device = "auto",
) -> Answer:
    """The older name of audit drift."""
    return drift(out, old, new, file, posts, device)
