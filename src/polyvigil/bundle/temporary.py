"""Where a bundle is written whose caller names no folder: a temporary one, removed with the last who refers to it."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TemporaryFolder:
    """A folder that is removed once nothing refers to this object, by the process that made it alone."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="polyvigil-"))
        weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def output_folder(output: str | Path | None) -> Iterator[tuple[Path, object]]:
    """The folder to write a bundle into, and what keeps it there if it is temporary."""
    if output is not None:
        yield Path(output), None
        return
    temporary = TemporaryFolder()
    yield temporary.path / "bundle", temporary
