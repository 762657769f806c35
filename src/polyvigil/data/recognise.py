"""What a file is, by its name and its first 64 kB: container, format, encoding, dialect, kind of export.

In: a path (or ``-``) and what the user says of it (``[data]``). Out: a ``Source``, and the decompressed bytes from the
first on. What is not as the name of the file promises is said in ``Source.notes``, with the option that overrules it.
The same file gives the same Source wherever and whenever it is opened, so that workers read alike.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from polyvigil.config.data import DataSpec
from polyvigil.data.dialect import Dialect
from polyvigil.data.encoding import UTF8, check_encoding, detect_encoding
from polyvigil.data.exports import EXPORT_NAMES, Export, export_of
from polyvigil.data.json_rows import json_document_rows, json_texts, jsonl_rows, starts_as_document, starts_as_json
from polyvigil.data.sniff import sniff_dialect
from polyvigil.data.streams import (
    CONTAINERS,
    HEAD,
    STDIN,
    HeadedStream,
    decompressed,
    member_ending,
    open_raw,
    packed_as,
)
from polyvigil.data.table import Row
from polyvigil.data.workbook import ENDINGS as WORKBOOKS
from polyvigil.errors import DataError

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
"""Endings of files of rows, which are read and written, also compressed."""
WRITABLE = {**FORMATS, ".xlsx": "xlsx"}
"""Endings of files that are written."""
READABLE = {
    **FORMATS,
    **dict.fromkeys((".txt", ".tab"), "tsv"),
    **dict.fromkeys((".json", ".js"), "json"),
    **dict.fromkeys((".arrow", ".feather"), "arrow"),
    **dict.fromkeys(sorted(WORKBOOKS), "xlsx"),
}
"""Endings of files that are read."""
_USUAL_DELIMITER = {"tsv": "\t"}
_BINARY = ("parquet", "arrow", "xlsx")
_SAMPLE = 50  # objects of a JSON file, by which an export is recognised
_MOST_ASCII = 16 * 1024 * 1024  # bytes of a file that are looked at for the first that is no ASCII


@dataclass(frozen=True, slots=True)
class Source:
    """What a file was recognised as."""

    name: str
    """For messages."""
    kind: str
    """csv (any delimited text), jsonl, json, parquet, arrow or xlsx."""
    container: str = ""
    """The ending of what the file is compressed with; empty where it is not."""
    codec: str = UTF8
    dialect: Dialect | None = None
    """Of delimited text."""
    head: str = ""
    """The first 64 kB of delimited text."""
    export: Export | None = None
    """Of JSON: the tool it was exported from."""
    has_pages: bool = False
    """Of JSON lines: a line may hold several rows."""
    notes: tuple[str, ...] = ()

    @property
    def is_splittable(self) -> bool:
        """Whether it can be read from its middle: Parquet, and uncompressed UTF-8 of rows that end with their line."""
        if self.container:
            return False
        if self.kind == "parquet":
            return True
        return self.kind in ("csv", "jsonl") and not self.has_pages and self.codec in (UTF8, "utf-8-sig")


def format_of(path: str | Path) -> str:
    """``csv``, ``tsv``, ``jsonl``, ``parquet`` or ``xlsx``: the format of a file to write, by its name. Raises
    DataError for another ending."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    known = WRITABLE
    if suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
        known = FORMATS
    if not suffixes or suffixes[-1] not in known:
        raise DataError(
            f"unknown kind of file {''.join(suffixes[-1:]) or '(no ending)'}",
            where=str(path),
            hint=f"use one of {', '.join(FORMATS)}, each also as .gz or .zst, or .xlsx, or - for standard input",
        )
    return known[suffixes[-1]]


def promised_format(path: str | Path) -> str:
    """What the name of a file to read promises; empty where it promises nothing."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    while suffixes and suffixes[-1] in CONTAINERS:
        suffixes.pop()
    return READABLE.get(suffixes[-1], "") if suffixes else ""


def shown_path(path: str | Path) -> str:
    """A path for messages: control characters and bytes that are no UTF-8 as escapes."""
    if str(path) == STDIN:
        return "<stdin>"
    text = str(path)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


@contextmanager
def recognised(raw: BinaryIO, path: str | Path, spec: DataSpec) -> Iterator[tuple[Source, HeadedStream]]:
    """What an open file is, and its bytes, decompressed, from the first on. Raises DataError for an archive of several
    files, and for a setting of ``spec`` that cannot be."""
    name = shown_path(path)
    seekable = str(path) != STDIN and raw.seekable()
    if seekable:
        outer: BinaryIO = raw
        start = raw.read(8)
        raw.seek(0)
    else:
        headed = HeadedStream(raw)
        outer = io.BufferedReader(headed)
        start = headed.head
    container, promised = packed_as(start), promised_format(path)
    if container == ".zip" and (promised == "xlsx" or seekable):
        member = member_ending(outer, name) if seekable else ".xlsx"
        promised = promised or READABLE.get(member, "")
        container = "" if member in WORKBOOKS and member == ".xlsx" else container
        promised = "xlsx" if not container else promised
    source = Source(name, "", container, notes=_container_notes(path, container))
    with decompressed(outer, container, name=name) as plain:
        stream = HeadedStream(plain)
        kind = _kind(promised, stream.head, spec)
        if kind in _BINARY:
            yield replace(source, kind=kind, notes=(*source.notes, *_kind_notes(name, kind, promised))), stream
            return
        yield _as_text(source, kind, stream.head, path, spec), stream


def text_stream(stream: BinaryIO | io.RawIOBase, source: Source, *, start: bool = True) -> io.TextIOWrapper:
    """The text of a recognised file, ends of lines untouched. ``start``: a byte order mark may stand here."""
    codec = source.codec if start else source.codec.replace("utf-8-sig", UTF8)
    line_ends = source.dialect.line_ends if source.dialect else ""
    buffered = io.BufferedReader(stream, HEAD) if isinstance(stream, io.RawIOBase) else stream
    return io.TextIOWrapper(buffered, encoding=codec, errors="surrogateescape", newline=line_ends)


def _container_notes(path: str | Path, container: str) -> tuple[str, ...]:
    ending = Path(path).suffix.lower()
    if ending in CONTAINERS and ending != container:
        return (f"{shown_path(path)}: is {f'a {container} file' if container else 'not compressed'}, not {ending}",)
    return ()


def _kind_notes(name: str, kind: str, promised: str) -> tuple[str, ...]:
    return (f"{name}: read as {kind}",) if promised != kind else ()


def _kind(promised: str, head: bytes, spec: DataSpec) -> str:
    """What a file is: as the user says, else by its first bytes, else by its name; ``tsv``, or empty, for text that
    may be anything."""
    if spec.format in EXPORT_NAMES:
        return "json"
    if spec.format != "auto":
        return spec.format
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
        return "xlsx"
    return promised


def _as_text(source: Source, kind: str, head: bytes, path: str | Path, spec: DataSpec) -> Source:
    """The encoding of a text file; whether it is JSON or delimited; and how that is written."""
    is_partial = len(head) == HEAD
    guesses: dict[str, str] = {}
    if spec.encoding:
        codec = check_encoding(spec.encoding)
        codec = "utf-8-sig" if codec == UTF8 else codec
    else:
        other = _around_first_other_byte(head, path, source) if is_partial and head.isascii() else head
        detected = detect_encoding(other, whole=not is_partial, guess=kind not in ("json", "jsonl"))
        codec = detected.codec
        guesses = {f"encoding {codec}": "--encoding"} if detected.guessed else {}
    decoder = codecs.getincrementaldecoder(codec)("surrogateescape")
    text = decoder.decode(head, final=not is_partial)
    if kind in ("json", "jsonl") or (spec.format == "auto" and starts_as_json(text)):
        format_name = "json" if starts_as_document(text) else "jsonl"
        sample = list(_sample(text, format_name))
        export = export_of(spec.format, [row.cells for row in sample]) if spec.format not in ("json", "jsonl") else None
        pages = len({row.line for row in sample}) < len(sample)
        source = replace(source, kind=format_name, codec=codec, export=export, has_pages=pages)
        if source.export and spec.format == "auto":
            guesses[f"exported from {source.export.name}"] = f"--from {format_name}"
        elif kind not in ("json", "jsonl"):
            guesses[f"format {format_name}"] = "--from csv"
    else:
        usual = _USUAL_DELIMITER.get(kind, ",")
        dialect = sniff_dialect(text, is_partial=is_partial, spec=spec, usual=usual)
        source = replace(source, kind="csv", codec=codec, dialect=dialect, head=text)
        known = {"--delimiter"} if spec.delimiter else set()
        known |= {"--quoting"} if spec.quoting != "auto" else set()
        guesses |= {what: option for what, option in dialect.differences(usual=usual).items() if option not in known}
    return replace(source, notes=(*source.notes, *_guess_note(source.name, guesses)))


def _guess_note(name: str, guesses: Mapping[str, str]) -> tuple[str, ...]:
    """What was guessed of a file, and the options that overrule it, as one line; none of no guesses."""
    if not guesses:
        return ()
    options = ", ".join(option for option in guesses.values() if option)
    return (f"{name}: recognised: {', '.join(guesses)}" + (f" (if that is wrong: {options})" if options else ""),)


def _around_first_other_byte(head: bytes, path: str | Path, source: Source) -> bytes:
    """64 kB of a file whose head is ASCII, around its first other byte; the head itself where there is none near."""
    if str(path) == STDIN:
        return head
    with open_raw(path) as raw, decompressed(raw, source.container, name=source.name) as plain:
        seen, before = 0, b""
        while seen < _MOST_ASCII and (block := plain.read(HEAD)):
            if not block.isascii():
                return before[-1024:] + block + plain.read(8)
            seen, before = seen + len(block), block
    return head


def _sample(text: str, kind: str) -> Iterator[Row]:
    """The first objects of JSON whose head is ``text``."""
    stream = io.StringIO(text, newline="\n")
    rows = json_document_rows("", stream) if kind == "json" else jsonl_rows(json_texts("", stream))
    taken = 0
    while taken < _SAMPLE:
        try:
            row = next(rows, None)
        except (DataError, json.JSONDecodeError):  # the head ends inside an object
            return
        if row is None:
            return
        taken += 1
        if isinstance(row, Row):
            yield row
