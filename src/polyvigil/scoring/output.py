"""The finished parts of a job -> its output: joined into one file, or put in a folder; none lost, none twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq
from pydantic import BaseModel

from polyvigil.data.atomic import install_folder, sweep, whole_file, write_whole
from polyvigil.errors import DataError
from polyvigil.scoring.columns import schema_of
from polyvigil.scoring.job import Job, PartRecord
from polyvigil.scoring.plan import Target
from polyvigil.scoring.stream import Hashed
from polyvigil.scoring.work import Work
from polyvigil.scoring.workbook import workbook_rows
from polyvigil.scoring.write import header, plain_cells, write_row_group
from polyvigil.types import Frozen

_BLOCK = 1 << 20


class OutputFile(Frozen):
    """A file that was written."""

    path: str
    """In a folder: its name there."""
    posts: int
    bytes: int
    sha256: str


def check_complete(job: Job, records: Sequence[PartRecord]) -> bool:
    """Whether every part of every input is there; ``records`` in order. Raises AssertionError for one that is twice."""
    position = 0
    for number in range(len(job.inputs)):
        input_records = []
        while position < len(records) and records[position].input == number:
            input_records.append(records[position])
            position += 1
        assert len({record.part for record in input_records}) == len(input_records), "a part was scored twice"
        if (
            not input_records
            or not input_records[-1].last
            or [record.part for record in input_records] != list(range(len(input_records)))
        ):
            return False
    return True


def write_output(
    job: Job,
    work: Work,
    target: Target,
    records: Sequence[PartRecord],
    manifest: Callable[[Sequence[OutputFile]], BaseModel],
    *,
    replace: bool,
) -> None:
    """Make the output of all parts, in their order, with its rejects and its manifest; then remove the work folder.

    ``replace``: what stands there was checked, and may give way.

    Raises DataError for a part that is no longer what was written, which ``--resume`` then scores again.
    """
    if job.folder:
        _as_folder(work, target, records, manifest, replace=replace)
    else:
        _as_file(job, work, target, records, manifest, replace=replace)
    for path in (target.path, target.rejects, target.manifest):
        sweep(path)
    work.remove()


def _as_file(
    job: Job,
    work: Work,
    target: Target,
    records: Sequence[PartRecord],
    manifest: Callable[[Sequence[OutputFile]], BaseModel],
    *,
    replace: bool,
) -> None:
    with whole_file(target.path, replace=replace) as file:
        stream = Hashed(file)
        if job.kind == "parquet":
            _concatenate_parquet(job, work, records, stream)
        elif job.kind == "xlsx":
            _make_workbook(job, work, records, stream)
        else:
            stream.write(header(job.columns, ending=job.ending, spec=job.how))
            for record in records:
                _copy(work.part(record.name), record.sha256, stream)
        posts = sum(record.counts.posts for record in records)
        output_file = OutputFile(path=target.name, posts=posts, bytes=stream.written, sha256=stream.hexdigest())
        # First the manifest, by which a run that goes on after a kill knows what is its own; the output comes last.
        write_whole(target.manifest, manifest([output_file]).model_dump_json(indent=2) + "\n", replace=True)
        _concatenate_rejects(work, records, target.rejects)


def _as_folder(
    work: Work,
    target: Target,
    records: Sequence[PartRecord],
    manifest: Callable[[Sequence[OutputFile]], BaseModel],
    *,
    replace: bool,
) -> None:
    names = {f"{record.name}{work.ending}" for record in records}
    for path in work.parts.iterdir():  # what a killed worker left
        if path.name not in names:
            path.unlink()
    _concatenate_rejects(work, records, work.parts / target.rejects.name)
    outputs = [
        OutputFile(
            path=f"{record.name}{work.ending}", posts=record.counts.posts, bytes=record.bytes, sha256=record.sha256
        )
        for record in records
    ]
    write_whole(work.parts / target.manifest.name, manifest(outputs).model_dump_json(indent=2) + "\n", replace=True)
    install_folder(work.parts, target.path, replace=replace)


def _concatenate_rejects(work: Work, records: Sequence[PartRecord], path: Path) -> None:
    bad = [record for record in records if record.rejects]
    if not bad:
        return
    with whole_file(path, replace=True) as stream:
        for record in bad:
            _copy(work.rejects(record.name), record.rejects_sha256, stream)


def _concatenate_parquet(job: Job, work: Work, records: Sequence[PartRecord], stream: IO[bytes]) -> None:
    with ExitStack() as stack:
        writer = stack.enter_context(pq.ParquetWriter(stream, schema_of(job)))
        for record in records:
            path = work.part(record.name)
            _copy(path, record.sha256, None)
            with pq.ParquetFile(path) as part:
                for group in range(part.num_row_groups):
                    write_row_group(writer, part.read_row_group(group).cast(schema_of(job)))


def _make_workbook(job: Job, work: Work, records: Sequence[PartRecord], stream: IO[bytes]) -> None:
    """The parts, which are JSON lines, as one workbook; the work folder holds its rows meanwhile."""
    with workbook_rows(stream, job.columns, folder=work.parts) as sheet:
        for record in records:
            path = work.part(record.name)
            _copy(path, record.sha256, None)
            with path.open("rb") as lines:
                for line in lines:
                    sheet.add([plain_cells(json.loads(line))])


def _copy(path: Path, sha256: str, to: IO[bytes] | None) -> None:
    seen = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            seen.update(block)
            if to is not None:
                to.write(block)
    if seen.hexdigest() != sha256:
        raise DataError(
            "is no longer what was written; the disk may be failing",
            where=str(path),
            hint="the same command with --resume scores this part again",
        )
