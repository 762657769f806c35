"""From a checkpoint's tensors to a safetensors file, in chunks: no tensor that lies without gaps is held in memory.

Source: the format, https://github.com/huggingface/safetensors#format. Tensors are in the order that the library writes:
wide types first, then by name, so that each begins at a multiple of its type's size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib.stride_tricks import as_strided

from polyvigil.errors import BundleError
from polyvigil.nn.pickled.container import CHUNK, Checkpoint, Progress
from polyvigil.nn.pickled.state_dict import DAMAGED, DISTRUST, Tensor

_LARGEST_HEADER = 100_000_000  # bytes; the library reads none that is larger


@dataclass(frozen=True, slots=True)
class Written:
    """A tensor as it was written: its type by safetensors' name, and the SHA-256 of its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds; ``shared``: further names of a tensor, and the name that it stands under."""

    tensors: tuple[Written, ...]
    shared: dict[str, str]


def write_safetensors(checkpoint: Checkpoint, source: Path, output: Path, progress: Progress) -> Contents:
    """Write ``output``. A tensor that has several names is written under one of them.

    The others are in the header's metadata. ``progress`` is given the bytes written. Raises BundleError where
    ``source`` ends too early.
    """
    kept, shared = _without_twins(checkpoint.tensors)
    order = sorted(kept, key=lambda name: (-kept[name].dtype.size, kept[name].dtype.name, name))
    written: list[Written] = []
    done = 0
    with source.open("rb") as stream, output.open("xb") as target:
        target.write(_header(kept, order, shared, where=str(source)))
        for name in order:
            tensor = kept[name]
            digest = hashlib.sha256()
            for chunk in _chunks(stream, checkpoint, tensor, where=str(source)):
                target.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress(done)
            written.append(Written(name, tensor.dtype.name, tensor.shape, digest.hexdigest()))
    return Contents(tuple(written), shared)


def _without_twins(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, each once, and the further names of some: embeddings that a head shares, say."""
    names: dict[Tensor | str, list[str]] = {}
    for name, tensor in tensors.items():
        names.setdefault(tensor if tensor.count else name, []).append(name)
    kept = {name: min(twins, key=_by_rank) for twins in names.values() for name in twins}
    shared = {name: twin for name, twin in kept.items() if name != twin}
    return {name: tensor for name, tensor in tensors.items() if name not in shared}, shared


def _by_rank(name: str) -> tuple[bool, int]:
    """Before others: the backbone's own table of embeddings, which loads with any head, then the outermost module."""
    return not ("embed" in name or "shared" in name), name.count(".")


def _header(tensors: dict[str, Tensor], order: list[str], shared: dict[str, str], *, where: str) -> bytes:
    described: dict[str, object] = {"__metadata__": {**shared, "format": "pt"}}
    end = 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        described[name] = {"dtype": tensor.dtype.name, "shape": tensor.shape, "data_offsets": (begin, end)}
    text = json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LARGEST_HEADER:
        raise BundleError("has more or longer names than safetensors takes", where=where, hint=DISTRUST)
    return len(text).to_bytes(8, "little") + text


def _chunks(stream: IO[bytes], checkpoint: Checkpoint, tensor: Tensor, *, where: str) -> Iterator[bytes]:
    """The bytes of a tensor, in the order in which they are written."""
    if not tensor.count:
        return
    size = tensor.dtype.size
    begin = checkpoint.begins[tensor.storage.key]
    stream.seek(begin + tensor.storage.start * tensor.storage.dtype.size + tensor.offset * size)
    if tensor.contiguous:
        left = tensor.nbytes
        while left:
            chunk = stream.read(min(CHUNK, left))
            if not chunk:
                raise BundleError("ends before its weights do", where=where, hint=DAMAGED)
            left -= len(chunk)
            yield chunk
        return
    extent = stream.read(tensor.extent * size)
    if len(extent) < tensor.extent * size:
        raise BundleError("ends before its weights do", where=where, hint=DAMAGED)
    elements = np.frombuffer(extent, dtype=f"V{size}")
    view = as_strided(elements, tensor.shape, [stride * size for stride in tensor.strides], writeable=False)
    yield view.tobytes()
