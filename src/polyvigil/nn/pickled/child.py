"""The process in which a checkpoint is read: fenced off, then one file in, one file out, JSON lines on stdout.

Started by nn.pickled.process alone. It has no environment, bounded memory, time and output where the system can bound
them, and ends at once when anything in it tries to import, compile, start a program, or open another file.
"""

from __future__ import annotations

import codecs
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy  # noqa: F401 - before the fence, behind which nothing is imported

from polyvigil.errors import BundleError
from polyvigil.nn.pickled.container import read_checkpoint
from polyvigil.nn.pickled.state_dict import shown
from polyvigil.nn.pickled.write import write_safetensors

_BASE_MEMORY = 2 * 2**30  # bytes of address space beside the file's: Python, numpy, a pickle of 64 MiB as objects
_BASE_SECONDS, _SECONDS_PER_GB = 300, 120  # of the processor; 2.2 GB take 10
_REFUSED = (
    *("import", "exec", "compile", "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "pty.", "marshal."),
    *("pickle.", "code.", "winreg.", "urllib.", "tempfile.", "glob.", "signal.", "sys.add", "sys.settrace"),
)
"""Beginnings of the names of audit events (https://docs.python.org/3/library/audit_events.html)."""


class FencedError(BaseException):
    """Something was tried that a state dict never needs; no ``except Exception`` on the way takes it for its own."""


def main(source: str, output: str) -> int:
    """Convert ``source`` to ``output`` and report on stdout: shares of the work, then contents or an error."""
    path = Path(source)
    size = path.stat().st_size
    codecs.lookup("cp437")  # the codec of names in zip archives, loaded before the fence
    _limit(size)
    _fence({source, output})
    report = _reporter(2 * size)
    try:
        checkpoint = read_checkpoint(path, report)
        contents = write_safetensors(checkpoint, path, Path(output), lambda done: report(size + done))
        _send({"contents": {"tensors": [asdict(one) for one in contents.tensors], "shared": contents.shared}})
    except BundleError as error:
        _send({"error": error.message, "hint": error.hint})
        return 1
    except FencedError as error:
        _send({"error": str(error), "hint": ""})
        return 1
    except MemoryError:
        _send({"error": "takes more memory to read than a state dict of its size does", "hint": ""})
        return 1
    except Exception as error:
        _send({"error": f"could not be read ({type(error).__name__}: {shown(str(error))})", "hint": ""})
        return 1
    return 0


def _send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _reporter(whole: int) -> Callable[[int], None]:
    """Sends the share that is done, every half second at most."""
    last = time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5:
            last = time.monotonic()
            _send({"share": min(1.0, done / whole)})

    return report


def _limit(size: int) -> None:
    """Bounds that hold for this process to its end; systems without them (Windows) have none."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    seconds = _BASE_SECONDS + _SECONDS_PER_GB * size // 2**30
    for name, most in (
        ("RLIMIT_AS", _BASE_MEMORY + 3 * size),
        ("RLIMIT_CPU", seconds),
        ("RLIMIT_FSIZE", 2 * size + 128 * 2**20),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_NPROC", 0),
    ):
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (bound, bound))
        except (ValueError, OSError):  # macOS refuses some; the others hold
            continue


def _fence(files: set[str]) -> None:
    """From here on, whatever a state dict never needs ends in an error before it happens. It cannot be taken down."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]) in files:
            return
        if event == "open" or event.startswith(_REFUSED):
            named = f" {arguments[0]}" if event in {"import", "open"} else ""
            raise FencedError(f"reading it tried: {event}{shown(named)}")

    sys.addaudithook(look)
