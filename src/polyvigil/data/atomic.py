"""Files and folders that are there whole or not at all: written under a temporary name beside, synced, renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the name ``path`` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    _sync_folder(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder that takes the name ``path`` when the block ends well; an older one there is replaced no sooner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _sync(file)
        for folder in (partial, *(f for f in partial.rglob("*") if f.is_dir())):
            folder.chmod(0o777 & ~_umask())
            _sync_folder(folder)
        install_folder(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def install_folder(folder: Path, path: Path) -> None:
    """Give a folder, whose files are on the disk, the name ``path``; an older one there is replaced no sooner."""
    if path.exists():
        _exchange(folder, path)
    else:
        folder.rename(path)
    _sync_folder(path.parent)


def _exchange(partial: Path, path: Path) -> None:
    """Put ``partial`` where ``path`` is; the old folder is removed only once the new one stands."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    try:
        path.rename(aside / path.name)
        try:
            partial.rename(path)
        except OSError:
            (aside / path.name).rename(path)
            raise
    except OSError:
        with suppress(OSError):
            aside.rmdir()  # never a folder that still holds the old one
        raise
    shutil.rmtree(aside, ignore_errors=True)


def sweep(path: Path) -> None:
    """Remove what writers of ``path`` that were killed have left beside it. No other may be writing it now."""
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}.") and left.suffix in {".partial", ".old"}:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with whole_file(path) as stream:
        stream.write(text.encode())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be synced
        _sync(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
