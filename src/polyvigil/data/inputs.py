"""Files, folders and globs -> the files to read, in a fixed order; keys in the names of folders become columns."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from polyvigil.data.recognise import READABLE
from polyvigil.data.streams import CONTAINERS, STDIN
from polyvigil.errors import DataError

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NULL = "__HIVE_DEFAULT_PARTITION__"
_SEARCHED = tuple(ending for ending in READABLE if ending not in (".txt", ".tab", ".js"))
"""Endings of files that are looked for in folders: not of those that are mostly something else."""
_ENDINGS = tuple(ending + packed for ending in _SEARCHED for packed in ("", *CONTAINERS))
MANIFEST = ".manifest.json"
"""A file with one of this ending beside it is an output of ours."""
FOLDER_MANIFEST = "_manifest.json"
"""The same in a folder of outputs."""
REJECTS = ".rejects.jsonl"


@dataclass(frozen=True, slots=True)
class Input:
    """A file to read, by the path to open it with, and the ``(key, value)`` of folders such as ``language=de``."""

    path: str
    partition: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files, in the order of what was named, sorted inside a folder or glob; and what was left out."""

    files: tuple[Input, ...]
    notes: tuple[str, ...]


def find_inputs(sources: Sequence[str], *, output: Sequence[Path] = (), scored: bool = False) -> Inputs:
    """The files that ``sources`` name: files, folders (searched through for known endings) and globs (``**`` too).

    ``scored``: whether outputs of earlier runs are what is looked for, of which manifests and rejects alone are left
    out.

    What a folder or a glob holds by the way is left out: names that begin with ``.`` or ``_``, empty files, everything
    at one of the ``output`` paths, and outputs of earlier runs, known by the manifest beside them. A file that is named
    twice is read once. Raises DataError, naming it, for a source that names no file, and for ``-`` beside others.
    """
    if STDIN in sources:
        if len(sources) > 1:
            raise DataError("standard input stands alone", where=STDIN, hint="name files, or pipe all posts in one")
        return Inputs((Input(STDIN),), ())
    outputs = [path.resolve() for path in output]
    inputs: dict[Path, Input] = {}
    left_out: dict[str, int] = {}
    twice = 0
    for source in sources:
        before = len(inputs) + twice
        for path, searched in _candidates(source):
            if searched and (reason := _not_read(path, outputs, scored=scored)):
                left_out[reason] = left_out.get(reason, 0) + 1
                continue
            if _SURROGATE.search(str(path)):
                raise DataError("its name is not UTF-8", where=str(path), hint="rename the file")
            key = path.resolve()
            twice += key in inputs
            inputs.setdefault(key, Input(str(path), _partition(path)))
        if len(inputs) + twice == before:
            raise DataError(
                "no file of posts there" if Path(source).is_dir() else "no such file",
                where=source,
                hint=f"files in folders must end in {', '.join(_SEARCHED)}, each also as {', '.join(CONTAINERS)}"
                + "".join(f"; left out: {number:,} {reason}" for reason, number in left_out.items()),
            )
    notes = [f"left out: {number:,} {reason}" for reason, number in left_out.items()]
    if twice:
        notes.append(f"{twice:,} files were named twice and are read once")
    return Inputs(tuple(inputs.values()), tuple(notes))


def _candidates(source: str) -> Iterator[tuple[Path, bool]]:
    """Files, and whether they were searched for; a file that is named by itself is always read."""
    path = Path(source)
    if path.is_dir():
        yield from ((file, True) for file in _in_folder(path))
    elif path.exists() or not glob.has_magic(source):
        yield path, False
    else:
        for name in sorted(glob.glob(source, recursive=True)):  # noqa: PTH207 - of a whole pattern
            matched = Path(name)
            if matched.is_dir():
                if "**" not in source:
                    yield from ((file, True) for file in _in_folder(matched))
            elif _is_searched_for(matched.name):
                yield matched, True


def _in_folder(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        if here != str(folder) and FOLDER_MANIFEST in files:
            yield Path(here) / FOLDER_MANIFEST  # one thing to leave out, and to tell of
            folders.clear()
            continue
        yield from (Path(here) / name for name in sorted(files) if _is_searched_for(name))


def _is_searched_for(name: str) -> bool:
    """Whether a file in a folder may hold posts: by its ending, or as a part that Spark or Hadoop wrote."""
    return name.lower().endswith(_ENDINGS) or (name.startswith("part-") and "." not in name)


def _not_read(path: Path, outputs: Sequence[Path], *, scored: bool) -> str:
    """Why a file that was only found is not read; empty where it is."""
    whole = path.resolve()
    if any(whole == output or output in whole.parents for output in outputs):
        return "at the place of the output"
    is_output = path.name == FOLDER_MANIFEST or path.name.endswith(MANIFEST) or is_rejects(path)
    if is_output or (not scored and Path(f"{path}{MANIFEST}").exists()):
        return "from earlier runs of polyvigil"
    if _hidden(path.name):
        return "hidden (. or _ before the name)"
    return "" if path.stat().st_size else "empty"


def is_rejects(path: Path) -> bool:
    """Whether a file holds rows that were set aside: by its name, and by what the first line says."""
    if not path.name.endswith(REJECTS):
        return False
    with path.open("rb") as stream:
        line = stream.readline(1 << 20)
    return not line or all(key in line for key in (b'"line"', b'"reason"', b'"row"')) or b'"translated_from"' in line


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _partition(path: Path) -> tuple[tuple[str, str], ...]:
    pairs = (part.partition("=") for part in path.parent.parts)
    keys = ((unquote(key), value) for key, equals, value in pairs if equals and key)
    return tuple((key, "" if value == _NULL else unquote(value)) for key, value in keys)
