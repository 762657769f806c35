"""Files of every format with bytes changed at random, the same for the same seed."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import xlsxwriter  # type: ignore[import-untyped]

from polyvigil.data import streams

HEADER = ("id", "text", "label", "language")
_TEXTS = {
    "en": ("this pill gave me a headache", 'he said "never again", twice', "two\nlines; and | more"),
    "de": ("seit den Tabletten ist mir übel", "nehme sie täglich für die Nerven", "heute früh müde, sonst gut"),
    "ja": ("この薬を飲んでから頭が痛い", "今日も薬局に行ってきました", "先生に聞いたら大丈夫だと言われた"),
}
ROWS = tuple(
    (f"p{n}", f"{text} {n}", n % 2, language)
    for n, (text, language) in enumerate((text, language) for language in _TEXTS for text in _TEXTS[language] * 4)
)


@dataclass(frozen=True)
class DamagedFile:
    """``damage`` says what was done to the bytes that the program wrote as ``name``."""

    name: str
    data: bytes
    damage: str


def damaged_file(seed: int) -> DamagedFile:
    """A whole file, in half of the cases a packed one, then one to three damages, some of them before it is packed."""
    chance = random.Random(seed)
    is_packed = chance.random() < 0.5
    name = chance.choice([name for name in whole_files() if name.endswith(tuple(_PACKED)) == is_packed])
    pack = _PACKED.get("." + name.rpartition(".")[2])
    inside = pack is not None and chance.random() < 0.4
    data = whole_files()[name.rpartition(".")[0] if inside else name]
    damages = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kind = chance.choice(sorted(_DAMAGES))
        data = _DAMAGES[kind](chance, data)
        damages.append(kind)
    data = pack(data) if inside and pack is not None else data
    return DamagedFile(name, data, f"{', '.join(damages)}{' inside' if inside else ''}")


@cache
def whole_files() -> dict[str, bytes]:
    """A file of every kind that is read, by its name: ``posts.csv`` to ``posts.parquet.zst``."""
    files = {
        "posts.csv": _delimited(","),
        "posts.tsv": _delimited("\t"),
        "posts.txt": _delimited("\t", "utf-16"),
        "latin.csv": _delimited(";", "cp1252", language="de"),
        "posts.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _objects()).encode(),
        "posts.json": json.dumps(_objects(), indent=1).encode(),
        "posts.xlsx": _workbook(),
        "posts.arrow": _arrow_stream(),
        **_arrow_files(),
        **_parquet_files(),
    }
    packed = [name for name in files if not name.endswith((".xlsx", ".txt"))]
    return files | {f"{name}{ending}": pack(files[name]) for name in sorted(packed) for ending, pack in _PACKED.items()}


def _objects() -> list[dict[str, object]]:
    return [dict(zip(HEADER, row, strict=True)) for row in ROWS]


def _delimited(delimiter: str, codec: str = "utf-8", *, language: str = "") -> bytes:
    def cell(value: object) -> str:
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if {delimiter, '"', "\n"} & set(text) else text

    rows = (HEADER, *(row for row in ROWS if language in ("", row[3])))
    return "".join(delimiter.join(map(cell, row)) + "\n" for row in rows).encode(codec)


def _table() -> pa.Table:
    nested = [{"tags": ["a", "b"][: n % 3], "n": n} for n in range(len(ROWS))]
    return pa.Table.from_pylist(_objects()).append_column("more", pa.array(nested))


def _parquet_files() -> dict[str, bytes]:
    """Pages of both versions, compressed by each codec or not, dictionaries or not, checksums or not."""
    options: dict[str, dict[str, object]] = {
        "snappy": {"compression": "snappy", "row_group_size": 9},
        "plain": {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
        "checked": {"compression": "zstd", "write_page_checksum": True},
        "gzip": {"compression": "gzip", "data_page_version": "2.0", "data_page_size": 64},
        "brotli": {"compression": "brotli", "use_dictionary": ["language"], "write_page_index": True},
        "delta": {"compression": "lz4", "use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    }
    files = {}
    for name, given in options.items():
        out = io.BytesIO()
        pq.write_table(_table(), out, **given)
        files[f"{name}.parquet"] = out.getvalue()
    return files


def _arrow_files() -> dict[str, bytes]:
    files = {}
    for name, compression in (("plain", "uncompressed"), ("lz4", "lz4"), ("zstd", "zstd")):
        out = io.BytesIO()
        pyarrow.feather.write_feather(_table(), out, compression=compression)
        files[f"{name}.feather"] = out.getvalue()
    return files


def _arrow_stream() -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=9)
    return out.getvalue()


def _workbook() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for name in ("notes", "posts"):
            sheet = book.add_worksheet(name)
            for number, row in enumerate([HEADER, *ROWS] if name == "posts" else [("read me",)]):
                for column, cell in enumerate(row):
                    sheet.write(number, column, cell)
    return out.getvalue()


def _zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("posts", data)
    return out.getvalue()


_PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": streams._zstd().compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": _zipped,
}


def _flip_bits(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(min(chance.choice((1, 1, 3, 30)), len(data))):
        changed[_place(chance, data)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _set_bytes(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(min(chance.choice((1, 4, 20)), len(data))):
        changed[_place(chance, data)] = chance.choice((0x00, 0x7F, 0x80, 0xFF, 0x22, 0x0A, chance.randrange(256)))
    return bytes(changed)


def _zero_range(chance: random.Random, data: bytes) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + bytes(end - start) + data[end:]


def _cut_out(chance: random.Random, data: bytes) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + data[end:]


def _repeat_range(chance: random.Random, data: bytes) -> bytes:
    start, end = _range(chance, data)
    return data[:end] + data[start:end] + data[end:]


def _truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: _place(chance, data)]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.randbytes(chance.randrange(1, 40)) + data[at:]


_DAMAGES: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "bits flipped": _flip_bits,
    "bytes set": _set_bytes,
    "a range of zeros": _zero_range,
    "a range gone": _cut_out,
    "a range twice": _repeat_range,
    "broken off": _truncate,
    "bytes more": _insert,
}


def _place(chance: random.Random, data: bytes) -> int:
    """An index; as often near the ends, where formats keep their heads and footers, as anywhere."""
    if not data:
        return 0
    near = min(len(data), 64)
    return chance.choice((chance.randrange(near), chance.randrange(len(data)), len(data) - 1 - chance.randrange(near)))


def _range(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = _place(chance, data)
    return start, min(len(data), start + chance.choice((1, 8, 64, 512)))
