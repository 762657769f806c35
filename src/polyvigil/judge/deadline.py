"""One moment by which a request over HTTP has ended, whatever it waits for: a name, a connection, a header, a byte.

A socket's own timeout starts anew with each byte that arrives, so a server that sends one now and then holds a request
for ever. Here a timer shuts the connection down, which ends any reading and writing at once.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from typing import Any


class Deadline:
    """The end of one request. A context manager; ``connect`` opens the connection that is shut down when time is up."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True  # a request under way does not keep the program from ending
        self._connection: socket.socket | None = None

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._connection is not None:
            self._connection.close()

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._until

    def connect(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """A connection to host and port, in the time that is left. Raises OSError, TimeoutError among them."""
        error: OSError = OSError("the name has no address")
        for family, kind, protocol, _, where in self._addresses(*address):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self._left())  # the timer cannot reach a connection that is not made yet
                connection.connect(where)
            except OSError as refused:
                connection.close()
                error = refused
                continue
            # A second handle, since TLS takes the first one away.
            self._connection = connection.dup()
            if self.passed:  # the timer may have gone off while there was nothing to shut down
                self._shut_down()
            return connection
        raise error

    def _addresses(self, host: str, port: int) -> list[Any]:
        """What a name stands for, asked in a thread: the system's resolver cannot be told when to stop."""
        answers: queue.Queue[list[Any] | OSError] = queue.Queue()

        def resolve() -> None:
            try:
                answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except OSError as error:
                answers.put(error)
            except UnicodeError:
                answers.put(OSError("the name is none of a host"))

        threading.Thread(target=resolve, daemon=True, name="resolve").start()
        try:
            answer = answers.get(timeout=self._left())
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _shut_down(self) -> None:
        if self._connection is not None:
            with suppress(OSError):  # the other side may have closed it
                # not close, by which a thread that waits for a byte is not woken
                self._connection.shutdown(socket.SHUT_RDWR)
