"""The two files that ``torch.save`` writes: a zip archive, and the older row of pickles followed by the weights.

In: a file. Out: its tensors as descriptions, and where in the file the bytes of each storage lie. Nothing is unpacked;
weights are read in chunks to see that their checksums are right, and not kept. Records that are compressed, named
twice, or larger together than the file, are refused: ``torch.save`` writes none, and zip bombs consist of them.

Source: torch/serialization.py (_save, _legacy_save).
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from polyvigil.errors import BundleError
from polyvigil.nn.pickled.state_dict import DAMAGED, DISTRUST, Storage, Tensor, read_state_dict, read_value, shown

CHUNK = 8 * 2**20
"""Bytes read at once."""
_LARGEST_PICKLE = 64 * 2**20  # bytes; that of NLLB-200-distilled-600M is 73 kB
_MOST_TENSORS = 200_000
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # torch/serialization.py
_SLACK = 2**20  # bytes that tensors may take beyond the file: small ones that repeat a number by a stride of 0
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, ValueError, struct.error, EOFError, NotImplementedError, RuntimeError),
    *(OverflowError, OSError),  # positions that no file has
)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint's tensors by name, in its order, and the first byte in the file of each storage, by its key."""

    tensors: dict[str, Tensor]
    begins: dict[str, int]


def read_checkpoint(path: Path, progress: Progress = lambda _: None) -> Checkpoint:
    """What is in a file of ``torch.save``. ``progress`` is given the number of bytes whose checksums were read.

    Raises BundleError where the file is none, is damaged, or holds anything but a plain state dict.
    """
    where = str(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.startswith(b"PK\x03\x04"):
            tensors, begins = _zipped(file, size, where, progress)
        elif start.startswith(b"\x80"):
            tensors, begins = _in_a_row(file, size, where)
        else:
            raise BundleError(_strange(start), where=where, hint="fetch the model's pytorch_model.bin again")
    if len(tensors) > _MOST_TENSORS:
        raise BundleError(f"holds more than {_MOST_TENSORS:,} tensors", where=where, hint=DISTRUST)
    different = {(t.storage.key, t.storage.start, t.offset, t.shape, t.strides): t.nbytes for t in tensors.values()}
    if sum(different.values()) > 2 * size + _SLACK:  # a few bytes that a stride of 0 makes many
        raise BundleError("its tensors take more than twice the bytes of the file", where=where, hint=DISTRUST)
    return Checkpoint(tensors, begins)


def _strange(start: bytes) -> str:
    if start.startswith(b"version https://git-lfs"):
        return "is the pointer of Git LFS to the weights, not the weights"
    if start[257:262] == b"ustar":
        return "is a tar archive, as torch wrote before 2017, which is not read"
    return "is no file of torch.save" if start else "is empty"


def _zipped(file: IO[bytes], size: int, where: str, progress: Progress) -> tuple[dict[str, Tensor], dict[str, int]]:
    try:
        with zipfile.ZipFile(file) as archive:
            records = _records(archive, size, where)
            pickled = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
            folder = pickled[0].removesuffix("data.pkl") if pickled else ""
            if not folder or f"{folder}constants.pkl" in records:
                raise BundleError("is a zip archive without a state dict", where=where, hint=DISTRUST)
            if records[pickled[0]].file_size > _LARGEST_PICKLE:
                raise BundleError("its pickle is larger than any state dict's", where=where, hint=DISTRUST)
            order = records.get(f"{folder}byteorder")
            if order and (order.file_size > 16 or archive.read(order) != b"little"):
                raise BundleError("its numbers are big-endian, which is not converted", where=where, hint=DISTRUST)
            tensors = read_state_dict(BytesIO(archive.read(records[pickled[0]])), where=where)
            begins: dict[str, int] = {}
            done = 0
            for storage in _storages(tensors, where).values():
                record = records[f"{folder}data/{storage.key}"]
                _check_length(storage, record.file_size, where)
                with archive.open(record) as stream:  # to its end, where zipfile compares the checksum
                    while chunk := stream.read(CHUNK):
                        done += len(chunk)
                        progress(done)
                begins[storage.key] = _begin(file, record, size)
    except KeyError as error:
        raise BundleError("weights are missing in the archive", where=where, hint=DAMAGED) from error
    except _ZIP_ERRORS as error:
        message = f"its zip archive is damaged ({shown(str(error)) or type(error).__name__})"
        raise BundleError(message, where=where, hint=DAMAGED) from error
    return tensors, begins


def _records(archive: zipfile.ZipFile, size: int, where: str) -> dict[str, zipfile.ZipInfo]:
    """The archive's records by name, all of them stored as they are."""
    records: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename
        if name in records or name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BundleError(f"has a record {shown(name)} twice, or outside of it", where=where, hint=DISTRUST)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise BundleError(f"its record {shown(name)} is packed, which none is", where=where, hint=DISTRUST)
        records[name] = info
    if sum(info.file_size for info in records.values()) > size:
        raise BundleError("its records overlap, which none do", where=where, hint=DISTRUST)
    return records


def _begin(file: IO[bytes], record: zipfile.ZipInfo, size: int) -> int:
    """The first byte of a record: behind its header, with a name and padding whose lengths the header holds."""
    file.seek(record.header_offset + 26)
    name, padding = struct.unpack("<HH", file.read(4))
    begin = int(record.header_offset + 30 + name + padding)
    if begin + record.file_size > size:
        raise ValueError("a record ends behind the file")
    return begin


def _in_a_row(file: IO[bytes], size: int, where: str) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Five pickles (magic number, version, system, state dict, keys), then each storage: elements, and their bytes."""
    stream = BytesIO(file.read(_LARGEST_PICKLE))
    if read_value(stream, where=where) != _MAGIC or read_value(stream, where=where) != _PROTOCOL:
        raise BundleError("is a pickle, but none that torch.save wrote", where=where, hint=DISTRUST)
    system = read_value(stream, where=where)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise BundleError("its numbers are big-endian, which is not converted", where=where, hint=DISTRUST)
    tensors = read_state_dict(stream, where=where)
    keys = read_value(stream, where=where)
    storages = _storages(tensors, where)
    begins: dict[str, int] = {}
    position = stream.tell()
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise BundleError("its weights are not those that its tensors name", where=where, hint=DAMAGED)
    for key in keys:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            raise BundleError("ends before its weights do", where=where, hint=DAMAGED)
        (count,) = struct.unpack("<q", header)
        _check_length(storages[key], count * storages[key].dtype.size, where)
        begins[key] = position + 8
        position += 8 + count * storages[key].dtype.size
        if position > size:
            raise BundleError("ends before its weights do", where=where, hint=DAMAGED)
    return tensors, begins


def _storages(tensors: dict[str, Tensor], where: str) -> dict[str, Storage]:
    """Each storage that is used, by its key; one that is described in two ways is refused."""
    storages: dict[str, Storage] = {}
    for tensor in tensors.values():
        storage = tensor.storage
        other = storages.setdefault(storage.key, storage)
        if (other.dtype, other.count) != (storage.dtype, storage.count):
            raise BundleError("describes the same weights in two ways", where=where, hint=DISTRUST)
    return storages


def _check_length(storage: Storage, length: int, where: str) -> None:
    if storage.count * storage.dtype.size != length:
        raise BundleError(
            f"holds {length:,} bytes of weights under {storage.key} and says {storage.count * storage.dtype.size:,}",
            where=where,
            hint=DAMAGED,
        )
