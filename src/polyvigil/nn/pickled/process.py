"""Reads a checkpoint in a child process and checks what it has written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from polyvigil import errors
from polyvigil.errors import BundleError
from polyvigil.nn.pickled.container import CHUNK
from polyvigil.nn.pickled.state_dict import DISTRUST
from polyvigil.types import Frozen

_CODE = (
    "import sys; sys.path += sys.argv[3:]; from polyvigil.nn.pickled.child import main; sys.exit(main(*sys.argv[1:3]))"
)
_LONGEST_LINE = 256 * 2**20  # bytes


class WrittenTensor(Frozen):
    """A tensor as the child wrote it: type by safetensors' name, and SHA-256 of its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


class FileContents(Frozen):
    """A converted file; ``shared``: further names of a tensor, and the name that it stands under."""

    tensors: tuple[WrittenTensor, ...]
    shared: dict[str, str]


def convert_file(source: Path, output: Path, progress: Callable[[float], None]) -> FileContents:
    """Write the tensors of ``source``, a file of ``torch.save``, to ``output`` (safetensors), and check them.

    ``progress`` is given shares of the work. Raises BundleError for a file that is no plain state dict, naming what
    else it holds, and where what is on the disk is not what was read.
    """
    contents = _run(source, output, lambda share: progress(0.9 * share))
    check_file(output, contents, where=str(source))
    progress(1.0)
    return contents


def _run(source: Path, output: Path, progress: Callable[[float], None]) -> FileContents:
    # -I and -S leave out the environment, the user's folders and start-up files of site-packages; so the child is given
    # the folders of this very program and of numpy, behind the standard library.
    roots = dict.fromkeys(str(Path(str(module.__file__)).resolve().parents[1]) for module in (errors, np))
    paths = (str(source.resolve()), str(output.resolve()))
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # without it Windows starts none
    kept |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _CODE, *paths, *roots],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=kept,
    )
    assert process.stdout is not None
    last: dict[str, object] = {}
    with process:
        try:
            while line := process.stdout.readline(_LONGEST_LINE):
                last = json.loads(line)
                if isinstance(share := last.get("share"), float):
                    progress(share)
        except ValueError:  # a line that was cut short, as the process was ended
            process.kill()
        except BaseException:  # Ctrl-C
            process.kill()
            raise
    if "error" in last:
        raise BundleError(str(last["error"]), where=str(source), hint=str(last.get("hint") or DISTRUST))
    try:
        return FileContents.model_validate(last["contents"])
    except (KeyError, ValidationError) as error:
        ended = f"ended with {process.returncode}"
        raise BundleError(
            f"reading it needs more time or memory than a state dict does (the process {ended})",
            where=str(source),
            hint=DISTRUST,
        ) from error


def check_file(path: Path, contents: FileContents, *, where: str) -> None:
    """Raise BundleError unless the file holds exactly these tensors: names, types, shapes, and the bytes' SHA-256."""
    try:
        with safe_open(path, framework="numpy") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            on_disk = {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
            del slices
    except (SafetensorError, OSError) as error:
        raise BundleError(f"what was written cannot be read ({error})", where=where, hint="try again") from error
    if on_disk != {one.name: (one.dtype, one.shape) for one in contents.tensors}:
        raise BundleError("what was written has other tensors than what was read", where=where, hint="try again")
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        for one in contents.tensors:
            begin, end = header[one.name]["data_offsets"]
            stream.seek(8 + size + begin)
            digest = hashlib.sha256()
            left = end - begin
            while left and (chunk := stream.read(min(CHUNK, left))):
                digest.update(chunk)
                left -= len(chunk)
            if digest.hexdigest() != one.sha256:
                raise BundleError(
                    f"the bytes of {one.name} are not those that were read", where=where, hint="try again"
                )
