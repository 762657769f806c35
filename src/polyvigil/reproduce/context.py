"""What a figure is made from: the bundles that are there, and why others are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polyvigil.bundle.record import Record, read_record
from polyvigil.errors import BundleError
from polyvigil.reproduce.plan import Step, Training, Translation
from polyvigil.reproduce.run import Done
from polyvigil.reproduce.told import Figure, Measured
from polyvigil.reproduce.verdict import verdict


@dataclass(frozen=True, slots=True)
class Context:
    """``records``: of every training that is done."""

    done: Mapping[Step, Done]
    records: Mapping[Training, Record]
    meaningless: bool
    other_data: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a figure was measured to be, and what is to be said of it."""

    ours: Measured
    notes: tuple[str, ...] = ()


def context_of(done: Mapping[Step, Done], *, meaningless: bool, other_data: bool) -> Context:
    """Read the finished bundles; one that is damaged makes its step ``failed``."""
    checked: dict[Step, Done] = {}
    records: dict[Training, Record] = {}
    for step, told in done.items():
        checked[step] = told
        if isinstance(step, Translation) or told.standing.state != "done":
            continue
        try:
            records[step] = read_record(told.standing.output)
        except BundleError as error:
            failed = dataclasses.replace(told.standing, state="failed", reason=str(error))
            checked[step] = dataclasses.replace(told, standing=failed)
    return Context(checked, records, meaningless, other_data)


def judged(
    blank: Figure, context: Context, trainings: Sequence[Training], measure: Callable[[list[Record]], Found | None]
) -> Figure:
    """The figure with ours and a verdict. ``measure`` is asked where all ``trainings`` are done; it may answer None
    where the dev posts do not hold what the figure is about."""
    for training in trainings:
        standing = context.done[training].standing
        if standing.state == "failed":
            return blank.model_copy(update={"verdict": "failed", "reason": f"{training.name}: {standing.reason}"})
        if standing.state != "done":
            return blank.model_copy(update={"verdict": "cannot run", "reason": standing.reason or "not made yet"})
    found = measure([context.records[training] for training in trainings])
    if found is None:
        return blank.model_copy(update={"verdict": "cannot run", "reason": "there are no such dev posts"})
    ended = verdict(
        blank.paper,
        found.ours.interval,
        decimals=blank.decimals,
        meaningless=context.meaningless,
        other_data=context.other_data,
    )
    return blank.model_copy(update={"ours": found.ours, "notes": found.notes, "verdict": ended})
