"""The same job on a Ray cluster: Ray Data hands spans to actors, which load the bundle once and write parts.

Nothing of the posts goes through Ray: an actor reads its span from the shared storage, and writes there. What is
done is known by the records in the work folder, as with every engine, so that an actor that is killed, a machine that
goes or the driver itself costs the parts in work and no more; a part that two should score comes out the same.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.store import Bundle
from polyvigil.bundle.verify import verify
from polyvigil.errors import BundleError, DataError, PolyvigilError, ScoringError
from polyvigil.scoring.facts import OutputFacts, read_output_facts
from polyvigil.scoring.job import Job, PartRecord, ProgressEvent, WorkItem
from polyvigil.scoring.part import ProgressCallback, score_work_item
from polyvigil.scoring.pool import load_as
from polyvigil.scoring.ray_cluster import connect, import_ray
from polyvigil.scoring.work import Work
from polyvigil.types import Frozen

_RECORDS = TypeAdapter(tuple[PartRecord, ...])
_ERRORS = {error.code: error for error in (DataError, BundleError, ScoringError)}
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class OnRay:
    """``count`` actors on the cluster at ``address``, or on one that is started on this machine where it is empty.

    ``count`` 0: as many as the cluster has GPUs, or else CPUs. With ``device`` auto an actor has a GPU to itself where
    there are any, else a CPU.
    """

    folder: str
    manifest: Manifest
    address: str = ""
    count: int = 0
    device: str = "auto"

    @classmethod
    def of(cls, folder: str, *, address: str = "", count: int = 0, device: str = "auto") -> OnRay:
        """Raises BundleError for a bundle that is missing or damaged, RecipeError without Ray."""
        import_ray()
        return cls(str(Path(folder).resolve()), verify(folder), address, count, device)

    @property
    def facts(self) -> OutputFacts:
        return read_output_facts(self.folder, self.manifest)

    @property
    def workers(self) -> int:
        return self.count or 64  # inputs are cut for so many, before the cluster is known

    def run(
        self, job: Job, work: Work, todo: Iterator[WorkItem], *, report: ProgressCallback, stop: Callable[[], bool]
    ) -> Iterator[PartRecord]:
        """See scoring.engine.Engine. Raises ScoringError when the cluster cannot be reached or cannot go on."""
        ray = import_ray()
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(sys.stderr))  # stdout is for data, and Ray speaks there
            if not ray.is_initialized():
                connect(ray, self.address, cpus=self.count)
                stack.callback(ray.shutdown)
            try:
                yield from self._scored(ray, job, work, list(todo), report=report, stop=stop)
            except ray.exceptions.RayError as error:
                raise ScoringError(
                    f"the cluster could not go on ({type(error).__name__})",
                    where=self.address or "this machine",
                    hint="look at its logs; what is done is kept: go on with --resume",
                ) from error

    def _scored(
        self,
        ray: Any,
        job: Job,
        work: Work,
        todo: list[WorkItem],
        *,
        report: ProgressCallback,
        stop: Callable[[], bool],
    ) -> Iterator[PartRecord]:
        import ray.data

        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if self.device != "cpu" else 0
        count = min(self.count or gpus or max(int(resources.get("CPU", 1)), 1), len(todo))
        settings = ray.data.DataContext.get_current()
        settings.enable_progress_bars = settings.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        scored = ray.data.from_items(
            [{"stretch": work_item.model_dump_json()} for work_item in todo], override_num_blocks=len(todo)
        ).map_batches(
            Scorer,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
            num_gpus=min(gpus / count, 1.0) if gpus else 0,
            fn_constructor_kwargs={
                "job_json": job.model_dump_json(),
                "work_folder": str(work.folder.resolve()),
                "bundle_folder": self.folder,
                "device": self.device,
                "here": str(Path.cwd()),
            },
        )
        sizes = {(work_item.input, work_item.part): work_item.bytes for work_item in todo}
        for row in scored.iter_rows():
            if row["error"]:
                _raise(_Failure.model_validate_json(row["error"]))
            for record in _RECORDS.validate_json(row["records"]):
                counts, size = record.counts, sizes.get((record.input, record.part), 0)
                report(ProgressEvent(posts=counts.posts, set_aside=counts.set_aside, bytes=size))
                yield record
            if stop():
                return


class Scorer:
    """An actor: the bundle loaded once, with the first span; a span in, the records of its parts out.

    What goes wrong with the files or the bundle is given out too: Ray would only try it again and again.
    """

    def __init__(self, job_json: str, work_folder: str, bundle_folder: str, device: str, here: str) -> None:
        """``here``: the folder that relative inputs are relative to."""
        self._job = Job.model_validate_json(job_json)
        self._work = Work(Path(work_folder), self._job.part_ending)
        self._folder = bundle_folder
        self._device = device
        self._here = here
        self._bundle: Bundle | None = None

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """One row in (``span``), one out (``records``, ``error``)."""
        try:
            if not all(Path(facts.path).is_absolute() for facts in self._job.inputs):
                os.chdir(self._here)
            self._bundle = self._bundle or load_as(self._folder, self._job.bundle, device=self._device)
            work_item = WorkItem.model_validate_json(batch["stretch"][0])
            records = tuple(score_work_item(self._bundle, self._job, self._work, work_item))
        except PolyvigilError as error:
            failure = _Failure(code=error.code, message=error.message, hint=error.hint, where=error.where)
        except OSError as error:
            message = error.strerror or type(error).__name__
            failure = _Failure(code=_SYSTEM, number=error.errno or 0, message=message, where=str(error.filename or ""))
        else:
            return {"records": [_RECORDS.dump_json(records).decode()], "error": [""]}
        return {"records": [""], "error": [failure.model_dump_json()]}


class _Failure(Frozen):
    """An error on its way from an actor."""

    code: str
    message: str
    where: str
    hint: str = ""
    number: int = 0


def _raise(failure: _Failure) -> None:
    if failure.code == _SYSTEM:
        raise OSError(failure.number, failure.message, failure.where or None)
    raise _ERRORS.get(failure.code, ScoringError)(failure.message, hint=failure.hint, where=failure.where)
