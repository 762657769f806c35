"""What a metric is made from: the bundles, scores and audits that are there, and why others are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from polyvigil.bundle.dev import Record, StoredDev, read_record
from polyvigil.checks.audit.shortcuts import ShortcutAudit
from polyvigil.errors import BundleError, DataError
from polyvigil.workflows.train import TrainingData
from polyvigil_gladiators.after import read_audit, read_scores
from polyvigil_gladiators.environment import Environment
from polyvigil_gladiators.plan import Audit, Row, Scoring, Step, Training
from polyvigil_gladiators.result import Measured, Metric, verdict
from polyvigil_gladiators.run import Done
from polyvigil_gladiators.test_posts import TestPosts


@dataclass(frozen=True, slots=True)
class Context:
    """``records``: of every training that is done; ``scores`` and ``audits`` likewise; ``obstacles``: why rows cannot
    run, by their names. ``meaningless``: by the scale; ``other_data``: the posts are not the paper's in number.
    """

    done: Mapping[Step, Done]
    data: TrainingData
    meaningless: bool
    other_data: bool
    test: TestPosts | None = None
    records: Mapping[Training, Record] = field(default_factory=dict)
    scores: Mapping[Training, StoredDev] = field(default_factory=dict)
    audits: Mapping[Training, ShortcutAudit] = field(default_factory=dict)
    obstacles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What a metric was measured to be, and what is to be said of it."""

    measured: Measured
    notes: tuple[str, ...] = ()


def context_of(
    done: Mapping[Step, Done], environment: Environment, *, other_data: bool, obstacles: Mapping[str, str]
) -> Context:
    """Read what the steps have made; a file that is damaged makes its step ``failed``."""
    checked: dict[Step, Done] = {}
    records: dict[Training, Record] = {}
    scores: dict[Training, StoredDev] = {}
    audits: dict[Training, ShortcutAudit] = {}
    for step, ended in done.items():
        checked[step] = ended
        if ended.status.state != "done":
            continue
        try:
            if isinstance(step, Training):
                records[step] = read_record(ended.status.output)
            elif isinstance(step, Scoring):
                scores[step.training] = read_scores(ended.status.output)
            elif isinstance(step, Audit):
                audits[step.training] = read_audit(ended.status.output)
        except (BundleError, DataError) as error:
            failed = dataclasses.replace(ended.status, state="failed", reason=str(error))
            checked[step] = dataclasses.replace(ended, status=failed)
    return Context(
        checked,
        environment.data,
        environment.scale.meaningless,
        other_data,
        environment.test,
        records,
        scores,
        audits,
        obstacles,
    )


def judged(blank: Metric, context: Context, row: Row, measure: Callable[[Context], Result | None]) -> Metric:
    """The metric with ours and a verdict. ``measure`` is called where all steps of ``row`` are done; it may return None
    where the posts do not hold what the metric is about."""
    statuses = [context.done[step].status for step in row.steps]
    for status in statuses:
        if status.state == "failed":
            return blank.model_copy(update={"verdict": "failed", "reason": f"{status.step.name}: {status.reason}"})
    obstacle = context.obstacles.get(row.key, "")
    waiting = next((status.reason or "not made yet" for status in statuses if status.state != "done"), "")
    if reason := obstacle or waiting:
        return blank.model_copy(update={"verdict": "cannot run", "reason": reason})
    result = measure(context)
    if result is None:
        return blank.model_copy(update={"verdict": "cannot run", "reason": "there are no such posts"})
    ended = verdict(
        blank.paper,
        result.measured.interval,
        decimals=blank.decimals,
        meaningless=context.meaningless,
        other_data=context.other_data,
    )
    return blank.model_copy(update={"ours": result.measured, "notes": result.notes, "verdict": ended})
