"""Who scores the spans of a job: this process, several processes (scoring.pool), a cluster (scoring.ray_job)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.store import Bundle
from polyvigil.data.formats import Table
from polyvigil.judge.endpoint import Usage
from polyvigil.scoring.facts import OutputFacts
from polyvigil.scoring.job import Job, PartRecord, WorkItem
from polyvigil.scoring.part import ProgressCallback, score_work_item
from polyvigil.scoring.remote import RemoteBundle, facts_of
from polyvigil.scoring.work import Work


class Engine(Protocol):
    """Scores spans into a work folder."""

    @property
    def manifest(self) -> Manifest:
        """Of the bundle that scores."""
        ...

    @property
    def facts(self) -> OutputFacts:
        """Of that bundle."""
        ...

    @property
    def workers(self) -> int:
        """How many score at a time."""
        ...

    def run(
        self, job: Job, work: Work, todo: Iterator[WorkItem], *, report: ProgressCallback, stop: Callable[[], bool]
    ) -> Iterator[PartRecord]:
        """The record of every part, each once, in any order. After ``stop`` parts in work are finished and no other is
        begun. Raises what ``score_stretch`` raises."""
        ...


@dataclass(frozen=True, slots=True)
class ThisProcess:
    """The bundle that is at hand, or one that serves elsewhere. ``stdin``: standard input, where it is scored."""

    bundle: Bundle | RemoteBundle
    stdin: Table | None = None

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def facts(self) -> OutputFacts:
        return facts_of(self.bundle)

    @property
    def workers(self) -> int:
        return 1

    @property
    def usage(self) -> Usage | None:
        """What requests to a chat endpoint took, where the bundle is here and may ask one."""
        return self.bundle.usage if isinstance(self.bundle, Bundle) else None

    def run(
        self, job: Job, work: Work, todo: Iterator[WorkItem], *, report: ProgressCallback, stop: Callable[[], bool]
    ) -> Iterator[PartRecord]:
        """See Engine."""
        stdin = self.stdin
        opening = (lambda _: nullcontext(stdin)) if stdin else None
        for work_item in todo:
            if stop():
                return
            yield from score_work_item(self.bundle, job, work, work_item, report=report, stop=stop, opening=opening)
