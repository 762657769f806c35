"""A monitor on disk: a JSONL file that only grows, one entry for each scored file that was added.

An entry is one write, so a file is counted as a whole or not at all, whatever ends the run. What counts follows from
the entries in their order: an entry replaces those whose hashes it names, and a file of a hash that counts already is
left out, so two runs that add the same file at the same moment count it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from polyvigil.bundle.outputs import OutputKind
from polyvigil.data.append_log import append_entries, read_entries
from polyvigil.errors import DataError
from polyvigil.monitor.counts import CellCounts, CountedFile
from polyvigil.types import Frozen

FORMAT: Final = 1
_START = b'{"monitor":'
_HEAD = 256


def _is_monitor(path: Path) -> bool:
    """Whether a file begins as a monitor does: with an entry, or the torn beginnings of some."""
    with path.open("rb") as stream:
        beginnings = stream.read(_HEAD).split(b"\n")
    while beginnings and _START.startswith(beginnings[0]):
        beginnings.pop(0)
    return not beginnings or beginnings[0].startswith(_START)


MONITOR = OutputKind("monitor", _is_monitor)
_OTHER = "name another file; a monitor is made by polyvigil monitor add STORE SCORED..."


class MonitorEntry(Frozen):
    """A line of the file: the counts of one scored file."""

    monitor: Literal[1] = FORMAT
    """The version of the format, and of the bins; stands first, so that a monitor is known by its first bytes."""
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bundle: str = Field(pattern=r"^[0-9A-Za-z]{1,16}$")
    replaced: tuple[str, ...] = ()
    """Hashes of the files that no longer count."""
    cells: tuple[CellCounts, ...] = Field(min_length=1)

    @property
    def weeks(self) -> frozenset[str]:
        """Weeks of which it has posts."""
        return frozenset(cell.week for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Monitor:
    """The entries that count, in the order in which they were added, and what to know about the file."""

    path: str
    entries: tuple[MonitorEntry, ...]
    notes: tuple[str, ...] = ()


def read_monitor(path: Path, *, must_exist: bool = True) -> Monitor:
    """Read a monitor. Raises DataError for a file that is none, an entry that is not as it was written, or no file."""
    if not path.exists():
        if must_exist:
            hint = "make it: polyvigil monitor add STORE SCORED..."
            raise DataError("there is no such monitor", where=str(path), hint=hint)
        return Monitor(str(path), ())
    if not path.is_file():
        raise DataError("is a folder; a monitor is a file", where=str(path), hint=_OTHER)
    if not _is_monitor(path):
        raise DataError("is no monitor, and is left as it is", where=str(path), hint=_OTHER)
    counting: dict[str, MonitorEntry] = {}
    torn = 0
    for number, fields in read_entries(path):
        if fields is None:
            torn += 1
            continue
        entry = _entry(fields, f"{path}:{number}")
        for digest in entry.replaced:
            counting.pop(digest, None)
        counting.setdefault(entry.sha256, entry)
    lost = f"{path}: {torn:,} entries are not whole, as after a kill, and count nothing; add their files again"
    return Monitor(str(path), tuple(counting.values()), (lost,) if torn else ())


def _entry(fields: dict[str, object], where: str) -> MonitorEntry:
    if isinstance(fields.get("monitor"), int) and fields["monitor"] != FORMAT:
        raise DataError(
            f"is a monitor of format {fields['monitor']}, and this polyvigil knows {FORMAT}",
            where=where,
            hint="update polyvigil: pip install -U polyvigil",
        )
    try:
        return MonitorEntry.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(
            f"is no entry of a monitor: {field}: {first['msg'].lower()}",
            where=where,
            hint="the file was changed; take it from a backup, or add the scored files to a new one",
        ) from error


@dataclass(frozen=True, slots=True)
class AddResult:
    """What an addition did: the entries as they were written, and notes for the user."""

    entries: tuple[MonitorEntry, ...]
    notes: tuple[str, ...]


def add_files(path: Path, files: Sequence[CountedFile], *, replace: bool = False) -> AddResult:
    """Append counted files to a monitor, which is made if need be; on the disk when it returns, in one write.

    Raises DataError where a file is there already, unless ``replace``: then it counts instead of its earlier entry, and
    instead of a file of the same name that has posts of a week that it has too.
    """
    monitor = read_monitor(path, must_exist=False)
    counting = {entry.sha256: entry for entry in monitor.entries}
    entries: list[MonitorEntry] = []
    notes = list(monitor.notes)
    for file in files:
        weeks = {cell.week for cell in file.cells}
        earlier = [one for one in counting.values() if one.file == file.path and one.weeks & weeks]
        if file.sha256 in counting and not replace:
            raise DataError(
                f"was added already, as {counting[file.sha256].file}, and would count twice",
                where=file.path,
                hint="leave it out; --replace counts it anew, for example in another week. Nothing was added",
            )
        if earlier and not replace:
            notes.append(f"{file.path}: a file of this name was added before, with posts of the same week; both count. "
                         "Is this a correction? add it again with --replace")  # fmt: skip
        replaced = {one.sha256 for one in earlier} | ({file.sha256} & counting.keys()) if replace else set()
        entry = MonitorEntry(
            file=file.path, sha256=file.sha256, bundle=file.bundle, replaced=tuple(sorted(replaced)), cells=file.cells
        )
        for digest in replaced:
            counting.pop(digest, None)
        counting[file.sha256] = entry
        entries.append(entry)
    if (before := {one.bundle for one in monitor.entries}) and (new := {one.bundle for one in entries} - before):
        notes.append(f"bundle {', '.join(sorted(new))} is new in this monitor: its weeks have a reference of their own")
    append_entries(path, [entry.model_dump() for entry in entries])
    return AddResult(tuple(entries), tuple(notes))
