"""The folder in which a job of scoring keeps its finished parts until all are there, ``OUT.work``.

::

    job.json                          what is scored, how, with what
    parts/part-00000-00002.csv        a part; in a job that ends as a folder, a whole file
    records/part-00000-00002.json     written after it: counts, size, SHA-256
    rejects/part-00000-00002.jsonl    its rows that could not be used
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from polyvigil.data.atomic import write_whole
from polyvigil.errors import DataError
from polyvigil.scoring.job import Job, PartRecord, part_name

_BLOCK = 1 << 20
_NAMES = frozenset({"job.json", "parts", "records", "rejects"})


@dataclass(frozen=True, slots=True)
class Work:
    """The paths of a work folder, and what is finished in it."""

    folder: Path
    ending: str

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    def part(self, name: str) -> Path:
        return self.parts / f"{name}{self.ending}"

    def rejects(self, name: str) -> Path:
        return self.folder / "rejects" / f"{name}.jsonl"

    def _record(self, name: str) -> Path:
        return self.folder / "records" / f"{name}.json"

    def keep(self, record: PartRecord) -> None:
        """Say that a part is done; its files are on the disk."""
        write_whole(self._record(record.name), record.model_dump_json() + "\n", replace=True)

    def completed(self, job: Job, input: int, part: int) -> PartRecord | None:
        """The record of a part that is done, its files read again and found as they were written; else None."""
        name = part_name(input, part)
        try:
            record = PartRecord.model_validate_json(self._record(name).read_bytes())
        except (OSError, ValidationError):
            return None
        if (record.of, record.input, record.part) != (job.part_ids[input], input, part):
            return None
        whole = _is(self.part(name), record.bytes, record.sha256)
        whole &= not record.rejects or _is(self.rejects(name), record.rejects, record.rejects_sha256)
        return record if whole else None

    def begin(self, job: Job, *, resume: bool) -> None:
        """Make the folder ready for ``job``. Raises DataError where that would lose or mix finished parts."""
        done = len(list((self.folder / "records").glob("part-*.json")))
        before = self._job()
        if resume and before is not None:
            if changed := _difference(before, job, begun=self._begun()):
                raise DataError(
                    f"cannot be resumed: {changed}",
                    where=str(self.folder),
                    hint="undo that; or remove the folder and score everything anew, without --resume",
                )
        elif done:
            raise DataError(
                f"holds {done:,} finished parts of an earlier run" + ("" if before else " of which nothing is known"),
                where=str(self.folder),
                hint="remove the folder to begin anew" if resume else "go on with --resume, or remove it to begin anew",
            )
        else:
            self._check_name_is_free()
            shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.parts, self.folder / "records", self.folder / "rejects"):
            folder.mkdir(parents=True, exist_ok=True)
            for partial in folder.glob(".*"):
                partial.unlink(missing_ok=True)
        write_whole(self.folder / "job.json", job.model_dump_json(indent=1) + "\n", replace=True)

    def _check_name_is_free(self) -> None:
        """Raises DataError where a folder of this name holds what no run of ours has put there."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        strange = [name for name in names if name not in _NAMES and not name.startswith(".job.json.")]
        if strange or self.folder.is_file() or self.folder.is_symlink():
            raise DataError(
                "is no work folder of ours, and finished parts are to be kept there",
                where=str(self.folder),
                hint="move it away, or choose another output",
            )

    def remove_if_empty(self) -> None:
        """Remove the folder where no part of it is done."""
        if not any((self.folder / "records").glob("part-*.json")):
            self.remove()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begun(self) -> frozenset[int]:
        """The inputs of which parts are done."""
        return frozenset(int(path.name.split("-")[1]) for path in (self.folder / "records").glob("part-*.json"))

    def _job(self) -> Job | None:
        try:
            return Job.model_validate_json((self.folder / "job.json").read_bytes())
        except (OSError, ValidationError):
            return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a work folder, beside it. Raises DataError while another run has it."""
    path = folder.with_name(f".{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open_lock(path)
    try:
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # a system without such locks
            pass
        except BlockingIOError as error:
            raise DataError(
                "another run is at work on this output", where=str(folder), hint="wait for it, or end it"
            ) from error
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Open a lock file: never through a link, and never emptied, since it may be a file of the user's."""
    strange = DataError("is no lock file of ours", where=str(path), hint="move it away, or choose another output")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise strange from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        os.close(descriptor)
        raise strange
    return descriptor


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is(path: Path, size: int, sha256: str) -> bool:
    try:
        return path.stat().st_size == size and digest(path) == sha256
    except OSError:
        return False


def _difference(before: Job, now: Job, *, begun: frozenset[int]) -> str:
    """What keeps the parts of one job from being those of another, said of the first thing; empty where nothing does.

    An input of which no part is done (not in ``begun``) may have been mended.
    """
    for index, (old, new) in enumerate(zip(before.inputs, now.inputs, strict=False)):
        if old.path != new.path:
            return f"it was begun with {old.path} where {new.path} is given now"
        if old != new and index in begun:
            grown = f" ({old.bytes:,} bytes then, {new.bytes:,} now)" if old.bytes != new.bytes else ""
            return f"{old.path} was changed since it was begun{grown}"
    if len(before.inputs) != len(now.inputs):
        return f"it was begun with {len(before.inputs):,} files, now there are {len(now.inputs):,}"
    if before.bundle != now.bundle:
        return f"it was begun with bundle {before.bundle}, this one is {now.bundle}"
    for then, here in ((before.how, now.how), (before.data, now.data)):
        for name in type(here).model_fields:
            if getattr(then, name) != getattr(here, name):
                return f"{name} was {getattr(then, name)} when it was begun and is {getattr(here, name)} now"
    for name, here_version in now.libraries.items():
        if before.libraries.get(name) != here_version:
            return f"it was begun with {name} {before.libraries.get(name)}, this is {here_version}"
    if before.columns != now.columns:
        return "the inputs have other columns now"
    return "" if before.ending == now.ending and before.folder == now.folder else "the output was of another kind"
