"""A process that scores for the service, so that the service's process has Python's lock to itself for HTTP and JSON.

In: posts, as a JSON frame on the process's stdin. Out: a frame with one JSON document for each post, in their order;
its first frame, an empty one, says that it has scored. A frame that is a JSON string is the name of what went wrong.
Always holds: the process ends when its stdin closes, so it outlives no service, however that ended; no post is in its
arguments, and what it writes beside frames goes nowhere. The process itself: scoring_child.
"""

from __future__ import annotations

import json
import logging
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from polyvigil.serve.batching import ScoringStoppedError
from polyvigil.serve.requests import IndexedPost, PostError, Result

LOG = logging.getLogger("polyvigil.serve")
ERROR = b'{"error":'
"""How the document of a post begins that has an error in place of a record."""
_LENGTH = struct.Struct("<I")
_PATIENCE = 5.0  # seconds for what is being scored, and for the process to end


class PostsFailedError(Exception):
    """The process could not score these posts and lives on."""


class ScoringProcess:
    """The process of one bundle, started by the first call. Calls come from one thread at a time, or wait."""

    def __init__(self, folder: Path, bundle_id: str) -> None:
        """``folder`` must hold the bundle of this id whenever a process is started."""
        self.folder, self._bundle_id = folder, bundle_id
        self._child: subprocess.Popen[bytes] | None = None
        self._has_scored = self._closed = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process; None before the first call."""
        return self._child.pid if self._child else None

    @property
    def is_alive(self) -> bool:
        """Whether it runs, and has scored."""
        return self._child is not None and self._has_scored and self._child.poll() is None

    def results(self, method: str, posts: Sequence[IndexedPost]) -> list[Result]:
        """What this method of LoadedBundle gives for the posts.

        Raises ScoringStoppedError where the process has ended, and starts the next one, or where it could not begin;
        PostsFailedError where the method raised.
        """
        with self._lock:
            if self._closed:
                raise PostsFailedError
            child = self._child or self._start()
            try:
                if not self._has_scored:
                    self._await_start(child)
                frame = self._exchange(child, json.dumps((method, posts), separators=(",", ":")).encode())
            except (OSError, EOFError) as error:
                child.kill()
                LOG.error("the process that scores ended (%d); another one is started", child.wait())
                self._release(child)
                self._start()
                raise ScoringStoppedError("its process ended") from error
        if frame.startswith(b'"'):
            LOG.error("the process that scores raised %s", json.loads(frame))
            raise PostsFailedError
        return [_post_error(record) if record.startswith(ERROR) else record for record in frame.split(b"\n")]

    def close(self) -> None:
        """End the process once it has given what is awaited, or after 5 s."""
        self._closed = True
        if not self._lock.acquire(timeout=_PATIENCE) and self._child:
            self._child.kill()
            self._lock.acquire()
        try:
            if self._child:
                self._release(self._child)
        finally:
            self._lock.release()

    def _start(self) -> subprocess.Popen[bytes]:
        self._has_scored = False
        command = [sys.executable, "-P", "-m", "polyvigil.serve.scoring_child", str(self.folder), self._bundle_id]
        self._child = subprocess.Popen(  # in a group of its own: Ctrl-C is for the service
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        return self._child

    def _await_start(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout
        if problem := read_frame(child.stdout):
            self._release(child)
            self._child = None
            LOG.error("the process that scores could not begin: %s; reload a bundle that is whole", json.loads(problem))
            raise ScoringStoppedError(json.loads(problem))
        self._has_scored = True

    @staticmethod
    def _exchange(child: subprocess.Popen[bytes], frame: bytes) -> bytes:
        assert child.stdin
        assert child.stdout
        write_frame(child.stdin, frame)
        return read_frame(child.stdout)

    @staticmethod
    def _release(child: subprocess.Popen[bytes]) -> None:
        """Close its pipes, by which it ends."""
        assert child.stdin
        assert child.stdout
        with suppress(OSError):  # what could not be written to it
            child.stdin.close()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


def read_frame(stream: IO[bytes]) -> bytes:
    """The next frame: its length in four bytes, then its bytes. Raises EOFError where the stream ends."""
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    return _read(stream, length)


def write_frame(stream: IO[bytes], frame: bytes) -> None:
    """Write a frame whole."""
    stream.write(_LENGTH.pack(len(frame)) + frame)
    stream.flush()


def _read(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def _post_error(record: bytes) -> PostError:
    return PostError(**json.loads(record)["error"])
