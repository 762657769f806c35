"""Files and folders that are there whole or not at all: written under a temporary name beside, synced, renamed.

Nothing that has the name is replaced unless the caller says so, even where it came there while the new one was written.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that takes the name ``path`` when the block ends well, and vanishes when it does not.

    Raises FileExistsError at its end where something has that name by then, unless ``replace`` is set; an OSError that
    names ``path`` where the disk is full.
    """
    with named_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with named_if_full(path), os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o666 & ~_umask())
        if replace:
            Path(name).replace(path)
        else:
            _rename_to_free(Path(name), path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    _sync_folder(path.parent)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder that takes the name ``path`` when the block ends well; an older one there is replaced no sooner.

    Its files are as readable as the umask says, whoever wrote them. Raises OSError at its end where something but an
    empty folder has that name by then, unless ``replace`` is set; one that names ``path`` where the disk is full.
    """
    with named_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        with named_if_full(path):
            yield partial
        mask = _umask()
        inside = [entry for entry in partial.rglob("*") if not entry.is_symlink()]
        for file in (entry for entry in inside if entry.is_file()):
            file.chmod(0o666 & ~mask)
            _sync(file)
        for folder in (partial, *(entry for entry in inside if entry.is_dir())):
            folder.chmod(0o777 & ~mask)
            _sync_folder(folder)
        install_folder(partial, path, replace=replace)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``, for what is made on the way to it; gone at the end, however the block ends.

    Raises an OSError that names ``path`` where the disk is full.
    """
    with named_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            yield Path(folder)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NUMBER_IN_TEXT = re.compile(r"\b(?:os error|[Ee]rrno) (\d+)\b")


@contextmanager
def named_if_full(path: Path) -> Iterator[None]:
    """Inside, the error of a full disk names ``path``, not the temporary name, and is an OSError whoever raises it.

    Python names no file where a write fails; safetensors, shutil and pyarrow give the number in their text alone.
    """
    try:
        yield
    except Exception as error:
        in_text = _NUMBER_IN_TEXT.search(str(error))
        number = (isinstance(error, OSError) and error.errno) or (int(in_text[1]) if in_text else 0)
        if number not in _FULL:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def install_folder(folder: Path, path: Path, *, replace: bool = False) -> None:
    """Give a folder, whose files are on the disk, the name ``path``; with ``replace`` an older one there gives way.

    Where the system can exchange two names (Linux), ``path`` names the old or the new at every instant. Elsewhere the
    old one stands aside between two renames: ``set_aside`` finds it after a kill just there.
    """
    if not replace or not os.path.lexists(path):
        folder.rename(path)  # onto nothing or an empty folder; else the system refuses
    elif _rename(folder, path, _EXCHANGE):
        _remove(folder)
    else:
        _replace_in_two_steps(folder, path)
    _sync_folder(path.parent)


def set_aside(path: Path) -> Path | None:
    """The old folder of a replacement that was cut off where names cannot be exchanged; rename it to have it back."""
    if os.path.lexists(path) or not path.parent.is_dir():
        return None
    return next(path.parent.glob(f"{glob.escape('.' + path.name)}.*.old/{glob.escape(path.name)}"), None)


def _replace_in_two_steps(partial: Path, path: Path) -> None:
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


_NOREPLACE, _EXCHANGE = 1, 2
"""Flags of the system call renameat2."""
_HERE = -100
"""AT_FDCWD: a path counts from the working folder."""
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def _rename(source: Path, target: Path, flag: int) -> bool:
    """Rename by the system call renameat2; False where the system or the file system has none, and nothing is done."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if not call(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flag):
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(target))


def _rename_to_free(source: Path, target: Path) -> None:
    """Rename a file. Raises FileExistsError where something has the name ``target``."""
    if _rename(source, target, _NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _remove(path: Path) -> None:
    """Remove a folder with what is in it; of a link, the link alone."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def sweep(path: Path) -> None:
    """Remove what writers of ``path`` that were killed have left beside it. No other may be writing it now."""
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}.") and left.suffix in {".partial", ".old"}:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def write_whole(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a UTF-8 text file whole or not at all, as ``whole_file``."""
    with whole_file(path, replace=replace) as stream:
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
    """The umask; read where the system tells it, since asking for it by setting it is seen by other threads."""
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("\nUmask:")[2].split(maxsplit=1)[0], 8)
    mask = os.umask(0)
    os.umask(mask)
    return mask
