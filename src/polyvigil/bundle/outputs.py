"""Whether a command may write where it is told to: the one check that all of them make, before anything costs time.

In come the path, what kind of thing is to stand there, the inputs, and whether ``--replace`` was given. Nothing that
exists is overwritten without it, and with it only an earlier output of the same kind. An input, through whatever link,
a place inside a bundle, and what is no ordinary file are refused in any case.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from polyvigil.bundle import layout
from polyvigil.bundle.verify import bundle_around
from polyvigil.data.atomic import set_aside, write_whole
from polyvigil.data.inputs import REJECTS as REJECTS_ENDING
from polyvigil.data.streams import STDIN, decompressed, open_raw, packed_as
from polyvigil.errors import BundleError, DataError, PolyvigilError

_MOST_JSON = 1 << 30


@dataclass(frozen=True, slots=True)
class OutputKind:
    """What a command writes: its name in messages, and how an earlier one is known, which ``--replace`` replaces."""

    name: str
    is_earlier: Callable[[Path], bool]
    folder: bool = False
    error: type[PolyvigilError] = DataError


def check_output(path: Path, kind: OutputKind, *, replace: bool, inputs: Iterable[str | Path | None] = ()) -> None:
    """Raise ``kind.error`` where an output of this kind may not be written to ``path``. An empty folder is free."""
    choose = f"choose another {'folder' if kind.folder else 'file'}"
    _refuse_bundles(path, kind)
    _refuse_inputs(path, kind, inputs)
    if not os.path.lexists(path):
        if kept := set_aside(path):
            raise kind.error(
                "a replacement was cut off here, and the older one stands aside",
                where=str(path),
                hint=f"rename {kept} to {path}, or remove it",
            )
        return
    if not path.exists():
        raise kind.error("is a link that leads nowhere", where=str(path), hint="remove it, or " + choose)
    if not path.is_file() and not path.is_dir():
        raise kind.error("is no ordinary file", where=str(path), hint=choose)
    if path.is_dir() != kind.folder:
        what = "a folder" if path.is_dir() else "a file"
        raise kind.error(f"is {what}, and no {kind.name}", where=str(path), hint=choose)
    if kind.folder and not any(path.iterdir()):
        return
    if not kind.is_earlier(path):
        raise kind.error(f"exists and is no {kind.name}", where=str(path), hint=choose)
    if not replace:
        article = "an" if kind.name[0] in "aeiou" else "a"
        raise kind.error(
            f"{article} {kind.name} stands there already", where=str(path), hint=f"{choose}, or --replace it"
        )


def _refuse_bundles(path: Path, kind: OutputKind) -> None:
    """Raises where a file more would lie in a bundle, by the path as it is written or by where its links lead."""
    folder = path.absolute().parent if kind is BUNDLE else path.absolute()
    if around := bundle_around(folder) or bundle_around(folder.resolve()):
        raise kind.error(
            "lies in a bundle, which a file more would damage",
            where=str(path),
            hint=f"choose a {'folder' if kind.folder else 'file'} beside {around}",
        )


def _refuse_inputs(path: Path, kind: OutputKind, inputs: Iterable[str | Path | None]) -> None:
    """Raises where writing would change an input, or remove the folder that it is in."""
    if not path.exists():
        return
    output = path.resolve()
    for source in (Path(name) for name in inputs if name):
        if str(source) == STDIN or not source.exists():
            continue
        if source.samefile(path):
            what = "folder" if kind.folder else "file"
            raise kind.error(f"input and output are one {what}", where=str(path), hint="choose another output")
        if kind.folder and output in source.resolve().parents:
            raise kind.error(f"holds an input, {source}", where=str(path), hint="choose another output")


def _is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle, possibly a damaged one, and no file that is none of a bundle's."""
    files = (file for file in folder.rglob("*") if not file.is_dir())
    names = [file.relative_to(folder).as_posix() for file in files]
    return layout.MANIFEST in names and all(map(layout.is_bundle_file, names))


BUNDLE = OutputKind("bundle", _is_bundle, folder=True, error=BundleError)


def json_document(name: str, keys: Collection[str]) -> OutputKind:
    """A JSON file whose object has these keys."""

    def is_earlier(path: Path) -> bool:
        try:
            document = json.loads(path.read_bytes()) if path.stat().st_size < _MOST_JSON else None
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and document.keys() >= {*keys}

    return OutputKind(name, is_earlier)


def head_of(path: Path, size: int = 1 << 20) -> bytes | None:
    """What a file begins with, unpacked where it is packed; None where it cannot be read."""
    try:
        with open_raw(path) as raw:
            container = packed_as(raw.read(8))
            raw.seek(0)
            with decompressed(raw, container, name=str(path)) as plain:
                return plain.read(size)
    except (OSError, EOFError, DataError):
        return None


def json_lines(name: str, *keys: Collection[str]) -> OutputKind:
    """A file of JSON objects, plain or packed, whose first one has all keys of one of these sets; or an empty file."""

    def is_earlier(path: Path) -> bool:
        head = head_of(path)
        if not head:
            return head is not None
        try:
            entry = json.loads(head.partition(b"\n")[0])
        except (ValueError, RecursionError):
            return False
        return isinstance(entry, dict) and any(entry.keys() >= {*some} for some in keys)

    return OutputKind(name, is_earlier)


REJECTS = json_lines(
    "file of rejected rows", ("file", "line", "column", "reason", "row"), ("id", "translated_from", "reason")
)


def rejects_of(output: str | Path) -> Path:
    """Where the rows that an output lacks are kept: its whole name, so that ``a.csv`` and ``a.tsv`` share none."""
    return Path(f"{output}{REJECTS_ENDING}")


def free_rejects(name: str) -> Path:
    """A name in the working folder that nothing has, for a run whose output is a pipe."""
    names = (Path(f"{name}{'' if number == 1 else f'.{number}'}{REJECTS_ENDING}") for number in count(1))
    return next(path for path in names if not os.path.lexists(path))


def write_rejects(path: Path, lines: str, *, replace: bool, inputs: Iterable[str | Path | None] = ()) -> None:
    """Keep rejected rows, all at once; the same rows, of a run that was ended, may stand there already."""
    if path.is_file() and not path.is_symlink() and path.read_bytes() == lines.encode():
        return
    check_output(path, REJECTS, replace=replace, inputs=inputs)
    write_whole(path, lines, replace=replace)
