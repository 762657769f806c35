"""What a figure is made from: the bundles, scores and audits that are there, and why others are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.record import Record, read_record
from polyvigil.checks.audit.shortcuts import ShortcutAudit
from polyvigil.errors import BundleError, DataError
from polyvigil.workflows.train import Material
from polyvigil_gladiators.after import read_audit, read_scores
from polyvigil_gladiators.plan import Audit, Row, Scoring, Step, Training
from polyvigil_gladiators.result import Figure, Measured
from polyvigil_gladiators.run import Done
from polyvigil_gladiators.survey import Bench
from polyvigil_gladiators.test_posts import TestPosts
from polyvigil_gladiators.verdict import verdict


@dataclass(frozen=True, slots=True)
class Context:
    """``records``: of every training that is done; ``scores`` and ``audits`` likewise; ``obstacles``: why rows cannot
    run, by their names. ``meaningless``: by the scale; ``other_data``: the posts are not the paper's in number.
    """

    done: Mapping[Step, Done]
    material: Material
    meaningless: bool
    other_data: bool
    test: TestPosts | None = None
    records: Mapping[Training, Record] = field(default_factory=dict)
    scores: Mapping[Training, StoredDev] = field(default_factory=dict)
    audits: Mapping[Training, ShortcutAudit] = field(default_factory=dict)
    obstacles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What a figure was measured to be, and what is to be said of it."""

    ours: Measured
    notes: tuple[str, ...] = ()


def context_of(done: Mapping[Step, Done], bench: Bench, *, other_data: bool, obstacles: Mapping[str, str]) -> Context:
    """Read what the steps have made; a file that is damaged makes its step ``failed``."""
    checked: dict[Step, Done] = {}
    records: dict[Training, Record] = {}
    scores: dict[Training, StoredDev] = {}
    audits: dict[Training, ShortcutAudit] = {}
    for step, ended in done.items():
        checked[step] = ended
        if ended.standing.state != "done":
            continue
        try:
            if isinstance(step, Training):
                records[step] = read_record(ended.standing.output)
            elif isinstance(step, Scoring):
                scores[step.training] = read_scores(ended.standing.output)
            elif isinstance(step, Audit):
                audits[step.training] = read_audit(ended.standing.output)
        except (BundleError, DataError) as error:
            failed = dataclasses.replace(ended.standing, state="failed", reason=str(error))
            checked[step] = dataclasses.replace(ended, standing=failed)
    return Context(
        checked,
        bench.material,
        bench.scale.meaningless,
        other_data,
        bench.test,
        records,
        scores,
        audits,
        obstacles,
    )


def judged(blank: Figure, context: Context, row: Row, measure: Callable[[Context], Result | None]) -> Figure:
    """The figure with ours and a verdict. ``measure`` is called where all steps of ``row`` are done; it may return None
    where the posts do not hold what the figure is about."""
    standings = [context.done[step].standing for step in row.steps]
    for standing in standings:
        if standing.state == "failed":
            return blank.model_copy(update={"verdict": "failed", "reason": f"{standing.step.name}: {standing.reason}"})
    obstacle = context.obstacles.get(row.key, "")
    waiting = next((standing.reason or "not made yet" for standing in standings if standing.state != "done"), "")
    if reason := obstacle or waiting:
        return blank.model_copy(update={"verdict": "cannot run", "reason": reason})
    result = measure(context)
    if result is None:
        return blank.model_copy(update={"verdict": "cannot run", "reason": "there are no such posts"})
    ended = verdict(
        blank.paper,
        result.ours.interval,
        decimals=blank.decimals,
        meaningless=context.meaningless,
        other_data=context.other_data,
    )
    return blank.model_copy(update={"ours": result.ours, "notes": result.notes, "verdict": ended})
