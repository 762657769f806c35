"""Several processes on one machine score one job; each loads the bundle once and writes its parts itself.

Plain pipes and no queue that all share: a process that is killed takes nothing with it but the part it was at, which
another does again; and a process whose parent is gone ends by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.store import Bundle, load
from polyvigil.bundle.verify import verify
from polyvigil.errors import BundleError, ScoringError
from polyvigil.scoring.facts import OutputFacts, read_output_facts
from polyvigil.scoring.job import Job, PartRecord, ProgressEvent, WorkItem
from polyvigil.scoring.part import ProgressCallback, score_work_item
from polyvigil.scoring.work import Work

_TRIES = 3
_DONE = "done"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")


def load_as(folder: str, bundle_id: str, *, device: str) -> Bundle:
    """The bundle, which must still be the one the job began with. Raises BundleError where it is not."""
    bundle = load(folder, device=device)
    if bundle.id != bundle_id:
        raise BundleError("was replaced by another since the job began", where=folder, hint="score everything anew")
    return bundle


@dataclass(frozen=True, slots=True)
class Processes:
    """``count`` processes, each with its share of the cores."""

    folder: str
    count: int
    manifest: Manifest
    device: str = "auto"

    @classmethod
    def of(cls, folder: str, *, count: int, device: str = "auto") -> Processes:
        """Raises BundleError for a bundle that is missing or damaged."""
        return cls(folder, count, verify(folder), device)

    @property
    def facts(self) -> OutputFacts:
        return read_output_facts(self.folder, self.manifest)

    @property
    def workers(self) -> int:
        return self.count

    def run(
        self, job: Job, work: Work, todo: Iterator[WorkItem], *, report: ProgressCallback, stop: Callable[[], bool]
    ) -> Iterator[PartRecord]:
        """See scoring.engine.Engine. Raises ScoringError when a part ends three processes."""
        crew = _Crew(self, job, work)
        given: set[tuple[int, int]] = set()
        try:
            while True:
                while not stop() and len(crew.busy) < self.count and (work_item := crew.next(todo)):
                    crew.hand(work_item)
                if not crew.busy:
                    return
                if stop():
                    crew.request_stop()
                for connection in crew.ready():
                    message = crew.hear(connection)
                    if isinstance(message, ProgressEvent):
                        report(message)
                    elif (
                        message and (message.input, message.part) not in given
                    ):  # one that took over tells all of a span
                        given.add((message.input, message.part))
                        yield message
        finally:
            crew.end()


@dataclass(slots=True)
class _Member:
    process: Any
    connection: Connection
    work_item: WorkItem
    stop_sent: bool = False


@dataclass(slots=True)
class _Crew:
    """The processes: at work, or waiting for the next span."""

    engine: Processes
    job: Job
    work: Work
    busy: dict[Connection, _Member] = field(default_factory=dict)
    idle: list[_Member] = field(default_factory=list)
    _again: deque[WorkItem] = field(default_factory=deque)
    _ends: Counter[tuple[int, int]] = field(default_factory=Counter)

    def next(self, todo: Iterator[WorkItem]) -> WorkItem | None:
        return self._again.popleft() if self._again else next(todo, None)

    def hand(self, work_item: WorkItem) -> None:
        member = self.idle.pop() if self.idle else self._start(work_item)
        member.work_item = work_item
        self.busy[member.connection] = member
        with suppress(OSError):  # it has ended, which is noticed when it is listened to
            member.connection.send(work_item)

    def ready(self) -> list[Connection]:
        """Who has something to say, waiting a little for it."""
        return cast(list[Connection], wait(list(self.busy), timeout=0.2))

    def hear(self, connection: Connection) -> ProgressEvent | PartRecord | None:
        """What one tells; None when its span is done or, the process being dead, is to be done again."""
        try:
            message = connection.recv()
        except (EOFError, OSError):
            self._bury(connection)
            return None
        if isinstance(message, BaseException):
            raise message
        if message == _DONE:
            self.idle.append(self.busy.pop(connection))
            return None
        return cast(ProgressEvent | PartRecord, message)

    def _bury(self, connection: Connection) -> None:
        member = self.busy.pop(connection)
        connection.close()
        member.process.join()
        part_key = (member.work_item.input, member.work_item.part)
        self._ends[part_key] += 1
        if self._ends[part_key] == _TRIES:
            raise ScoringError(
                f"{_TRIES} processes ended while they scored this, the last with {_ending(member.process.exitcode)}",
                where=self.job.inputs[part_key[0]].path,
                hint="often memory runs out: fewer --processes; what is done is kept for --resume",
            )
        self._again.append(member.work_item)

    def request_stop(self) -> None:
        for member in self.busy.values():
            if not member.stop_sent:
                member.stop_sent = True
                with suppress(OSError):
                    member.connection.send(None)

    def end(self) -> None:
        for member in (*self.busy.values(), *self.idle):
            member.connection.close()
            member.process.kill()
            member.process.join()

    def _start(self, work_item: WorkItem) -> _Member:
        context = multiprocessing.get_context("spawn")
        parent_end, child_end = context.Pipe()
        arguments = (
            child_end,
            self.job.model_dump_json(),
            str(self.work.folder),
            self.engine.folder,
            self.engine.device,
        )
        process = context.Process(target=_serve, args=arguments, daemon=True)
        with _threads(max((os.cpu_count() or 1) // self.engine.count, 1)), _signals_held():
            process.start()
        child_end.close()
        return _Member(process, parent_end, work_item)


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Processes that are started inside use so many threads, unless the user has said how many."""
    added = {name: str(count) for name in _THREADS if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C and its like reach all processes; the first one says what to do."""


@contextmanager
def _signals_held() -> Iterator[None]:
    """A process that is started inside has the signals blocked until it ignores them, so none ends it before that; in
    this one they arrive afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, job_json: str, work_folder: str, bundle_folder: str, device: str) -> None:
    """A process: spans in, ticks and records out, until nothing more comes."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        job = Job.model_validate_json(job_json)
        work = Work(Path(work_folder), job.part_ending)
        bundle = load_as(bundle_folder, job.bundle, device=device)
        while work_item := connection.recv():
            # While a span is scored, all that can come is the request to stop.
            for record in score_work_item(bundle, job, work, work_item, report=connection.send, stop=connection.poll):
                connection.send(record)
            connection.send(_DONE)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the first process is gone
        return
    except Exception as error:
        with suppress(OSError):
            connection.send(error)
